# syntax=docker/dockerfile:1
# Two stages: one with a compiler builds the wheel and compiles the models; the other has neither and serves.

FROM python:3.12-slim AS build
RUN apt-get update && apt-get install -y --no-install-recommends g++ && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY . .
RUN python -m venv /opt/needle \
 && /opt/needle/bin/pip install --no-cache-dir --upgrade pip \
 && /opt/needle/bin/pip wheel --no-cache-dir --no-deps --wheel-dir /wheels . \
 && /opt/needle/bin/pip install --no-cache-dir "$(echo /wheels/*.whl)[postgres]"
# Compile the models into the cache that the server will find it in.
ENV NEEDLE_HOME=/opt/needle/home
RUN /opt/needle/bin/needle-serve --engine compiled --prepare

FROM python:3.12-slim
RUN useradd --system --uid 10001 --no-create-home needle
COPY --from=build /opt/needle /opt/needle
ENV NEEDLE_HOME=/opt/needle/home NEEDLE_OFFLINE=1 PATH=/opt/needle/bin:$PATH PYTHONUNBUFFERED=1
USER needle
EXPOSE 8000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s \
  CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/v2/health/ready', timeout=2)"]
ENTRYPOINT ["needle-serve", "--host", "0.0.0.0"]
CMD ["--port", "8000", "--engine", "compiled", "--open"]
