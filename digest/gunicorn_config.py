"""gunicorn's settings, for the image, the demo and tests: `gunicorn --config python:digest.gunicorn_config`."""

bind = "0.0.0.0:8000"
workers = 2
worker_class = "gthread"
# A client that sends its request slowly holds a thread until it is done, and gunicorn has
# no deadline for that. An idle thread costs little, so there are many more than requests
# that are served at once; the proxy in front (deploy/) receives requests whole.
threads = 32
