# One image for setup, web, worker and beat: only their commands differ.
FROM python:3.11-slim
ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 PIP_NO_CACHE_DIR=1 OMP_NUM_THREADS=1
WORKDIR /app
COPY requirements.lock .
RUN pip install --require-hashes -r requirements.lock
COPY . .
RUN useradd --system --home-dir /app round && mkdir -p -m 0700 var && chown round var
USER round
EXPOSE 8000
CMD ["gunicorn", "--config", "python:digest.gunicorn_config", "digest.wsgi"]
