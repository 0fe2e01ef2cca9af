# Debian, because the embedded Postgres is built against glibc.
FROM node:22-bookworm-slim AS build
WORKDIR /varve
COPY package.json package-lock.json ./
RUN npm ci
COPY tsconfig.json ./
COPY src src
COPY migrations migrations
COPY support support
RUN node support/build.js && npm prune --omit=dev

FROM node:22-bookworm-slim
WORKDIR /varve
COPY --from=build /varve/package.json ./
COPY --from=build /varve/node_modules node_modules
COPY --from=build /varve/dist dist
# Fewer arenas of malloc, and large pieces that go back to the system: up to 150 MB less, at no cost.
ENV MALLOC_ARENA_MAX=2 MALLOC_MMAP_THRESHOLD_=131072
ENV NODE_ENV=production VARVE_HOST=0.0.0.0 VARVE_DATA=/data
RUN mkdir /data && chown node:node /data
USER node
VOLUME /data
EXPOSE 7424
ENTRYPOINT ["node", "dist/src/main/cli.js"]
CMD ["serve"]
