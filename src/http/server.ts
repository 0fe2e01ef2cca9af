/** The HTTP door: the app with everything mounted, and the socket it listens on. */
import { createServer, IncomingMessage, ServerResponse } from 'node:http';
import { createServer as createTcpServer, isIPv6, type AddressInfo, type Socket } from 'node:net';
import compression from 'compression';
import express, { type Express, type RequestHandler } from 'express';
import helmet from 'helmet';
import { messageOf } from '../core/errors.ts';
import type { Service } from './services.ts';
import { WIRE_FORMATS } from '../formats/samples/wire-formats.ts';
import { accessRoutes } from './routes/access-routes.ts';
import { annotationRoutes } from './routes/annotation-routes.ts';
import { allowedMethods } from './request/allowed-methods.ts';
import { appendManyRoutes } from './routes/append-many-routes.ts';
import { authenticate } from './request/authenticate.ts';
import { bulkRoutes } from './routes/bulk-routes.ts';
import { changesRoutes } from './routes/changes-routes.ts';
import { crossOrigin, type AllowedOrigins } from './request/cross-origin.ts';
import { cutStalled } from './body/stalled.ts';
import { authenticateAgent } from './request/agent-credentials.ts';
import { DOCS_FILES, docsRoutes } from './routes/docs-routes.ts';
import { exportRoutes } from './routes/export-routes.ts';
import { healthRoutes } from './routes/health-routes.ts';
import { DEFAULT_HTTP_LIMITS, type HttpLimits } from './request/limits.ts';
import { influxqlRoutes } from './routes/influxql-routes.ts';
import { lineRoutes } from './routes/line-routes.ts';
import { liveRoutes } from './routes/live-routes.ts';
import { metadataRoutes } from './routes/metadata-routes.ts';
import { answerNodeRefusals, MAX_HEADER_BYTES } from './request/node-refusals.ts';
import { openApiDocument, PATHS } from './openapi.ts';
import { openPage, wantsPage, type WebPage } from './routes/page-routes.ts';
import { answerProblems, unknownRoute } from './request/problem.ts';
import { logRequests, type Log } from './request/request-log.ts';
import { queryRoutes } from './routes/query-routes.ts';
import { importEventRoutes, importRoutes } from './routes/import-routes.ts';
import { recordingRoutes } from './routes/recording-routes.ts';
import { retentionRoutes } from './routes/retention-routes.ts';
import { sampleReads, sampleWrites } from './routes/sample-routes.ts';
import { seriesRoutes } from './routes/series-routes.ts';
import { sessionRoutes } from './routes/session-routes.ts';
import { shareDoor } from './request/share-door.ts';
import { sharedRoutes, shareRoutes } from './routes/share-routes.ts';
import { spaceRoutes } from './routes/space-routes.ts';
import { subjectRoutes } from './routes/subject-routes.ts';
import { stateRoutes } from './routes/state-routes.ts';
import { tagRoutes } from './routes/tag-routes.ts';
import { trashRoutes } from './routes/trash-routes.ts';
import { savedSearchRoutes } from './routes/saved-search-routes.ts';
import { timeAxisRoutes } from './routes/time-axis-routes.ts';
import { limitPerToken } from './request/requests-under-way.ts';
import { uploadOptions, uploadRoutes } from './routes/upload-routes.ts';
import { vocabularyRoutes } from './routes/vocabulary-routes.ts';
import { wellFormed } from './request/well-formed.ts';
import { writeRoutes } from './routes/write-routes.ts';

/**
 * Idle connections are kept longer than clients and proxies usually do, so that they end them and never write into a
 * closed one.
 */
const KEEP_ALIVE_MS = 75_000;
/** For the request line and the headers … */
const HEADERS_TIMEOUT_MS = 30_000;
/** … and for the body too: 16 GiB at 800 KB/s. */
const REQUEST_TIMEOUT_MS = 6 * 60 * 60 * 1000;
/** How often it is looked for connections that have passed these. */
const TIMEOUTS_EVERY_MS = 5_000;
/** A peer that vanished is noticed though nothing is sent. */
const TCP_KEEP_ALIVE_MS = 30_000;
/** How often a closing server looks for connections that have become idle. */
const CLOSE_POLL_MS = 50;

interface AppOptions {
  readonly log: Log;
  readonly version: string;
  readonly limits?: HttpLimits;
  /** Pages of other origins that may read answers; none unless they are named. */
  readonly origins?: AllowedOrigins;
  readonly page?: WebPage;
}

/** Importing this opens nothing; {@link listen} does. */
export function createApp(
  service: Service,
  { log, version, limits = DEFAULT_HTTP_LIMITS, origins = [], page = openPage() }: AppOptions,
): Express {
  const app = express();
  app.disable('x-powered-by');
  // Entity tags are made where a representation has a version, not from the bytes of every answer.
  app.set('etag', false);
  app.set('query parser', false);
  app.set('case sensitive routing', true);
  app.use(logRequests(log));
  app.use(
    helmet({
      contentSecurityPolicy: { useDefaults: false, directives: { defaultSrc: ["'none'"], frameAncestors: ["'none'"] } },
      // Whether a host is for HTTPS only is for whoever ends its TLS to say.
      strictTransportSecurity: false,
    }),
  );
  app.use(crossOrigin(origins));
  app.use(wellFormed);
  app.use(uploadOptions(service.uploads));
  app.use(shareDoor(service.shares, wantsPage));
  app.use(allowedMethods(PATHS, DOCS_FILES));
  const authenticated = authenticate(service.access, service.sessions);
  const asAgent = authenticateAgent(service.access, service.sessions);
  const limited = limitPerToken(limits.maxRequestsPerToken);
  app.use(sessionRoutes(service.sessions, service.shares, authenticated));
  app.use('/v1', authenticated, limited);
  // This stands before what a few words have no use for: many sensors send a row each.
  app.use(sampleWrites(service.samples));
  app.use(influxqlRoutes(service.influxql, [asAgent, limited]));
  app.use(lineRoutes(service.ingest, service.health, [asAgent, limited], version));
  // Events are sent one by one.
  app.use(liveRoutes(service.live));
  app.use(changesRoutes(service.live));
  app.use(importEventRoutes(service.imports));
  app.use(uploadRoutes(service.uploads));
  app.use(page.assets);
  app.use(compressTexts());
  app.use(docsRoutes(() => openApiDocument(version), version, page.isBuilt ? page.index : null));
  app.use(healthRoutes(service.health, authenticated, log));
  // Resources of a series come first: a by-name path would take them for the end of a name.
  app.use(sampleReads(service.samples, service.series));
  app.use(timeAxisRoutes(service.timeAxis));
  app.use(appendManyRoutes(service.samples));
  app.use(queryRoutes(service.samples));
  app.use(annotationRoutes(service.series));
  app.use(spaceRoutes(service.space));
  app.use(metadataRoutes(service.metadata));
  app.use(stateRoutes(service.state, service.series));
  app.use(bulkRoutes(service.series));
  app.use(seriesRoutes(service.series, service.samples));
  app.use(recordingRoutes(service.recordings));
  app.use(importRoutes(service.imports));
  app.use(trashRoutes(service.series));
  app.use(savedSearchRoutes(service.savedSearches));
  app.use(tagRoutes(service.series));
  app.use(writeRoutes(service.samples));
  app.use(exportRoutes(service.exports));
  app.use(retentionRoutes(service.retention));
  app.use(vocabularyRoutes(service.metadata));
  app.use(subjectRoutes(service.subjects));
  app.use(accessRoutes(service.access));
  app.use(shareRoutes(service.shares));
  app.use(sharedRoutes(service.shares, page.index));
  app.use(page.anywhere);
  app.use(unknownRoute);
  app.use(answerProblems(log));
  return app;
}

/** The middleware wraps every answer it sees, at a price: those that are asked for in a binary format go past it. */
function compressTexts(): RequestHandler {
  const compress = compression({ filter: isWorthCompressing });
  return (req, res, next) => {
    if (BINARY_WANTED.test(req.url) || BINARY_ACCEPTED.test(req.get('accept') ?? '')) next();
    else compress(req, res, next);
  };
}

const BINARY_WANTED = /[?&]format=(?:npy|octet|arrow|arrow-stream|hdf5)(?:&|$)/;
const BINARY_ACCEPTED = /^application\/(?:x-npy|octet-stream|vnd\.apache\.arrow\.(?:file|stream)|x-hdf5)$/;

/** Texts are; samples in binary go from file to socket as they are. */
const isWorthCompressing: compression.CompressionFilter = (req, res) => {
  const mediaType = String(res.getHeader('Content-Type') ?? '').split(';')[0];
  const format = Object.values(WIRE_FORMATS).find((each) => each.mediaType === mediaType);
  return format ? format.isText : compression.filter(req, res);
};

export interface HttpServer {
  /** With the port that was given if 0 was asked for. */
  readonly url: string;
  /** Takes no new requests, lets those that run end, and after `limitMs` breaks the connections of those that still do. */
  close(limitMs: number): Promise<void>;
}

/** @throws with a message that names host and port if they cannot be listened on */
export async function listen(
  app: Express,
  host: string,
  port: number,
  { stallMs, maxConnections }: HttpLimits = DEFAULT_HTTP_LIMITS,
): Promise<HttpServer> {
  const server = createServer(
    {
      keepAliveTimeout: KEEP_ALIVE_MS,
      headersTimeout: HEADERS_TIMEOUT_MS,
      requestTimeout: REQUEST_TIMEOUT_MS,
      connectionsCheckingInterval: TIMEOUTS_EVERY_MS,
      keepAlive: true,
      keepAliveInitialDelay: TCP_KEEP_ALIVE_MS,
      maxHeaderSize: MAX_HEADER_BYTES,
      // We refuse this ourselves: Node's answer is no problem document.
      requireHostHeader: false,
      ...bornFor(app),
    },
    app,
  );
  server.maxConnections = maxConnections;
  cutStalled(server, stallMs);
  answerNodeRefusals(server);
  await new Promise<void>((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) => reject(cannotListen(error, host, port)));
    server.listen(port, host, resolve);
  });
  const address = server.address() as AddressInfo;
  const close = (limitMs: number): Promise<void> =>
    new Promise((resolve) => {
      const poll = setInterval(() => server.closeIdleConnections(), CLOSE_POLL_MS);
      const limit = setTimeout(() => server.closeAllConnections(), limitMs);
      server.close(() => {
        clearInterval(poll);
        clearTimeout(limit);
        resolve();
      });
    });
  return { url: `http://${isIPv6(host) ? `[${host}]` : host}:${address.port}`, close };
}

/** Tries host and port, and leaves them free: what is wrong with them is told before anything is made. @throws as {@link listen} */
export async function tryAddress(host: string, port: number): Promise<void> {
  const server = createTcpServer();
  await new Promise<void>((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) => reject(cannotListen(error, host, port)));
    server.listen({ port, host, exclusive: true }, () => server.close(() => resolve()));
  });
}

/**
 * Constructors whose objects have the prototypes of the app from the start. Express sets the prototypes on every
 * request otherwise. V8 runs Node's own code slowly on an object whose prototype has changed: 0.105 instead of 0.045 ms
 * for a small answer. `Reflect.construct`, or a class that extends them, would be slower still: 0.23 ms.
 */
function bornFor(app: Express): { IncomingMessage: typeof IncomingMessage; ServerResponse: typeof ServerResponse } {
  function AppRequest(this: IncomingMessage, socket: Socket): void {
    (IncomingMessage as unknown as (this: IncomingMessage, socket: Socket) => void).call(this, socket);
  }
  AppRequest.prototype = app.request;
  function AppResponse(this: ServerResponse, request: IncomingMessage, options: object): void {
    (ServerResponse as unknown as typeof AppResponse).call(this, request, options);
  }
  AppResponse.prototype = app.response;
  return {
    IncomingMessage: AppRequest as unknown as typeof IncomingMessage,
    ServerResponse: AppResponse as unknown as typeof ServerResponse,
  };
}

const LISTEN_FAILURES: Readonly<Record<string, string>> = {
  EADDRINUSE: 'the address is already in use, perhaps by another Varve; stop it, or set VARVE_PORT to a free port',
  EACCES: 'this user may not listen there; set VARVE_PORT to a port above 1023',
  EADDRNOTAVAIL: 'this machine has no such address; set VARVE_HOST to one it has',
  ENOTFOUND: 'there is no such host; set VARVE_HOST to an address of this machine',
};

function cannotListen(error: NodeJS.ErrnoException, host: string, port: number): Error {
  const reason = LISTEN_FAILURES[error.code ?? ''] ?? messageOf(error);
  return Object.assign(new Error(`cannot listen on ${host}:${port}: ${reason}`, { cause: error }), {
    code: error.code,
  });
}
