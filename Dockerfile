# The HTTP API of kalamos, its models inside. docs/container.md says how to run it.
#     docker build -t kalamos .
#     docker build -t kalamos --build-arg PARTS="app forms" .     with the page; what the words mean: requirements/

ARG PYTHON=3.13

FROM python:${PYTHON}-slim AS build
ARG PARTS="api forms"
WORKDIR /build
COPY requirements requirements
# Everything is pinned with hashes: the same source makes the same image.
RUN pip install --no-cache-dir --disable-pip-version-check --require-hashes --requirement requirements/build.txt && \
    python -m venv --without-pip /opt/kalamos
RUN for part in $PARTS; do \
      uv pip install --no-cache --compile-bytecode --python /opt/kalamos/bin/python --require-hashes \
        --requirement "requirements/$part.txt" || exit 1; \
    done
COPY pyproject.toml hatch_build.py README.md LICENSE ./
COPY src src
RUN pip wheel --no-cache-dir --disable-pip-version-check --no-deps --no-build-isolation --wheel-dir dist . && \
    uv pip install --no-cache --compile-bytecode --python /opt/kalamos/bin/python --no-deps dist/*.whl

FROM python:${PYTHON}-slim
LABEL org.opencontainers.image.title="kalamos" \
      org.opencontainers.image.description="Reads handwritten characters over HTTP" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build /opt/kalamos /opt/kalamos
# Nothing is written: not even bytecode, which is compiled already.
ENV PATH=/opt/kalamos/bin:$PATH HOME=/nonexistent PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
# By number, so that Kubernetes sees that it is not root; the number has no name and owns no file.
USER 10001:10001
EXPOSE 7860
HEALTHCHECK --interval=30s --timeout=5s --start-period=60s --start-interval=2s \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:7860/health', timeout=4)"]
ENTRYPOINT ["kalamos", "app", "--host", "0.0.0.0"]
CMD ["--api-only"]
