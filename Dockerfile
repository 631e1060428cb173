# syntax=docker/dockerfile:1
# One image for every role: `serve`, `serve --roles work,dispatch`, `migrate`, `doctor` …
# `.ci/image` builds it and starts the image without a container daemon.
FROM python:3.12-slim AS build
WORKDIR /baton
COPY requirements.lock ./
RUN python -m venv --without-pip .venv \
    && python -m pip --python .venv/bin/python install --no-cache-dir --disable-pip-version-check --no-input \
        --require-hashes --only-binary=:all: -r requirements.lock
COPY migrations ./migrations
COPY README.md CHANGELOG.md CONTRIBUTING.md LICENSE ./
COPY benchmarks/README.md ./benchmarks/README.md
COPY openapi ./openapi
COPY examples ./examples
COPY docs ./docs
COPY app ./app
RUN .venv/bin/python -m compileall -q app

FROM python:3.12-slim
# PostgreSQL looks up the name of its user, so the user needs one. The program is owned by root, so it cannot change itself.
RUN groupadd --system --gid 10001 baton \
    && useradd --system --uid 10001 --gid baton --no-create-home --shell /usr/sbin/nologin baton \
    && install -d -o baton -g baton -m 0700 /data
COPY --from=build /baton /baton
WORKDIR /baton
ENV PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    BATON_HOST=0.0.0.0 \
    BATON_DATA_DIR=/data \
    BATON_LOG_FORMAT=json
USER 10001:10001
VOLUME ["/data"]
EXPOSE 8000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=60s --retries=3 \
    CMD ["/baton/.venv/bin/python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:8000/healthz', timeout=2)"]
ENTRYPOINT ["/baton/.venv/bin/python", "-m", "app.commands.cli"]
CMD ["serve"]
