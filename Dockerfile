# The image of the service. Each RUN calls one script of deploy/image, which tests/contract/test_image.py
# runs too. Secrets are no part of a build: they come as files when the container starts.

FROM golang:1.26-trixie AS tools
WORKDIR /src
COPY tools/go.mod tools/go.sum tools/
COPY deploy/image deploy/image
RUN deploy/image/build-tools.sh /out

FROM python:3.13-slim-trixie AS service
WORKDIR /src
COPY . .
RUN deploy/image/install-service.sh /opt/tenantry

FROM python:3.13-slim-trixie
WORKDIR /
RUN --mount=type=bind,source=deploy/image,target=/deploy/image deploy/image/prepare-system.sh /
COPY --from=tools /out/bin /opt/tenantry/bin
COPY --from=service /opt/tenantry /opt/tenantry

# The root file system may be read-only: only the two volumes are written to.
VOLUME ["/data", "/tmp"]
ENV PATH=/opt/tenantry/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    HOME=/data \
    TMPDIR=/tmp \
    TENANTRY_DATA_DIR=/data \
    TENANTRY_ENVIRONMENT=production \
    TENANTRY_HOST=0.0.0.0 \
    TENANTRY_PORT=3100
USER 10001:0
EXPOSE 3100
HEALTHCHECK --interval=15s --timeout=5s --start-period=20s --retries=3 \
    CMD ["/opt/tenantry/bin/healthcheck"]
ENTRYPOINT ["tini", "--", "tenantry"]
CMD ["serve"]
