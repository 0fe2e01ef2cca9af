/** The page of the service, as it was built: its index, and the files that this names. They hold no data, so they need no token. */
import { existsSync } from 'node:fs';
import { access } from 'node:fs/promises';
import { extname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import express, { type Request, type RequestHandler, type Response } from 'express';
import helmet from 'helmet';
import { notFound, VarveError } from '../../core/errors.ts';

/** Beside what is compiled. */
const BUILT_PAGE = fileURLToPath(new URL('../../../web', import.meta.url));
const INDEX = 'index.html';

/** Names of files have a hash of their content in them, so that they never change. */
const ASSETS_AGE = '1y';
/** Names within the folder, without a way out of it. */
const ASSET = /^\/assets\/((?:[\w-][\w.-]*\/)*[\w-][\w.-]*)$/;
/** Beside a file there may be the same, compressed when it was built; the first that a browser accepts is sent. */
const ENCODINGS = { br: '.br', gzip: '.gz' } as const;

/** What begins so is for programs, and no page of ours. */
const FOR_PROGRAMS = /^\/(?:v1|api|docs|openapi\.json|metrics|healthz|readyz|health|ping|write|query|assets)(?:\/|$)/;

/** Nothing comes from elsewhere, no script or style stands in a page, and no other page may show this one. */
const contentSecurityPolicy = helmet.contentSecurityPolicy({
  useDefaults: false,
  directives: {
    defaultSrc: ["'none'"],
    scriptSrc: ["'self'"],
    styleSrc: ["'self'"],
    imgSrc: ["'self'", 'data:', 'blob:'],
    fontSrc: ["'self'"],
    connectSrc: ["'self'"],
    workerSrc: ["'self'", 'blob:'],
    manifestSrc: ["'self'"],
    frameAncestors: ["'none'"],
    baseUri: ["'none'"],
    formAction: ["'self'"],
  },
});

export interface WebPage {
  /** Files of the page, which need no token. */
  readonly assets: RequestHandler;
  /** The index. Answers not-found where it was not built. */
  readonly index: RequestHandler;
  /** Answers what a browser opens, and no other route has, with the index: the page reads its own path. */
  readonly anywhere: RequestHandler;
  /** True if it was built, so that a link to it leads somewhere. */
  readonly isBuilt: boolean;
}

/** @param folder where it was built to */
export function openPage(folder: string = BUILT_PAGE): WebPage {
  const isBuilt = existsSync(join(folder, INDEX));
  const index: RequestHandler = async (req, res) => {
    if (!isBuilt) {
      const message = 'the page was not built here: npm run build makes it; the API is described at /docs';
      throw new VarveError('not-found', message, { slug: 'page-not-built' });
    }
    res.set('Cache-Control', 'no-cache');
    await sendFile(req, res, folder, INDEX, { cacheControl: false });
  };
  const assets = express.Router({ caseSensitive: true });
  assets.use('/assets', async (req, res, next) => {
    const path = req.baseUrl + req.path;
    const name = ASSET.exec(path)?.[1];
    if (!isRead(req)) return next();
    if (name === undefined || !(await isThere(join(folder, 'assets', name)))) throw notFound('file', path);
    await sendFile(req, res, join(folder, 'assets'), name, { maxAge: ASSETS_AGE, immutable: true });
  });
  return {
    assets,
    index,
    anywhere: (req, res, next) => {
      if (!isRead(req) || !wantsPage(req) || FOR_PROGRAMS.test(req.path)) return next();
      return index(req, res, next);
    },
    isBuilt,
  };
}

function isRead({ method }: Request): boolean {
  return method === 'GET' || method === 'HEAD';
}

/** Browsers name HTML when they open a page; programs take anything. */
export function wantsPage(req: Pick<Request, 'get'>): boolean {
  return /\btext\/html\b/i.test(req.get('accept') ?? '');
}

interface Caching {
  readonly cacheControl?: boolean;
  readonly maxAge?: string;
  readonly immutable?: boolean;
}

async function sendFile(req: Request, res: Response, root: string, name: string, caching: Caching): Promise<void> {
  contentSecurityPolicy(req, res, () => {});
  res.vary('Accept-Encoding').type(extname(name));
  for (const [encoding, ending] of Object.entries(ENCODINGS)) {
    if (req.acceptsEncodings(encoding) === false || !(await isThere(join(root, name + ending)))) continue;
    res.set('Content-Encoding', encoding).sendFile(name + ending, { root, ...caching });
    return;
  }
  res.sendFile(name, { root, ...caching });
}

function isThere(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}
