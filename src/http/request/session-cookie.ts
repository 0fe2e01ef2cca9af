/** The cookie of a session, and which requests may use it: those of the service's own pages. */
import type { Request, Response } from 'express';
import { VarveError } from '../../core/errors.ts';

/** What browsers take from a secure origin alone, for this host and no other. */
const SECURE_NAME = '__Host-varve';
/** Over plain HTTP, as on a laptop. Browsers send cookies to every port of a host, so the name says which port. */
const PLAIN_NAME = 'varve';
const SECRET = /^[\w-]{1,128}$/;
const SAFE_METHODS: ReadonlySet<string> = new Set(['GET', 'HEAD', 'OPTIONS']);

type Asked = Pick<Request, 'get' | 'method' | 'protocol'>;

/** The secret of the session that a request names; null if it names none. */
export function sessionSecret(req: Pick<Request, 'get'>): string | null {
  const pairs = (req.get('cookie') ?? '').split(';').map((pair) => pair.trim());
  for (const name of [SECURE_NAME, plainName(req)]) {
    const secret = pairs.find((pair) => pair.startsWith(`${name}=`))?.slice(name.length + 1);
    if (secret !== undefined && SECRET.test(secret)) return secret;
  }
  return null;
}

/** Scripts cannot read it, and other sites cannot send it. */
export function setSessionCookie(req: Asked, res: Response, secret: string, endsAt: Date): void {
  res.append('Set-Cookie', `${cookieHead(req, secret)}; Expires=${endsAt.toUTCString()}`);
}

export function clearSessionCookie(req: Asked, res: Response): void {
  res.append('Set-Cookie', `${cookieHead(req, '')}; Max-Age=0`);
}

function cookieHead(req: Asked, secret: string): string {
  const isSecure = isOverTls(req);
  return `${isSecure ? SECURE_NAME : plainName(req)}=${secret}; Path=/; HttpOnly; SameSite=Strict${isSecure ? '; Secure' : ''}`;
}

/** As the page sees it, behind whatever ends TLS. Whoever lies here is given a cookie or a link that does not work. */
export function isOverTls(req: Asked): boolean {
  return (
    req.get('x-forwarded-proto')?.split(',', 1)[0]?.trim() === 'https' || (req.get('origin') ?? '').startsWith('https:')
  );
}

function plainName(req: Pick<Request, 'get'>): string {
  const port = /:(\d+)$/.exec(req.get('host') ?? '')?.[1];
  return port === undefined ? PLAIN_NAME : `${PLAIN_NAME}-${port}`;
}

/**
 * Lets a request with a cookie change something only if a page of this service sent it. Browsers add the cookie by
 * themselves, and other ports of a host count as the same site. Browsers also say where a request comes from.
 * @throws forbidden
 */
export function refuseOtherOrigins(req: Asked): void {
  if (SAFE_METHODS.has(req.method) || isSameOrigin(req) === true) return;
  const message = 'A session may be used by pages of this service alone; send Authorization: Bearer <token> instead';
  throw new VarveError('forbidden', message, { slug: 'cross-origin' });
}

/** What the headers of browsers say; null if they say nothing. */
export function isSameOrigin(req: Pick<Request, 'get'>): boolean | null {
  // Proxies may change the host, and this stays. Browsers send it where they trust the way: over TLS, or to this machine.
  const site = req.get('sec-fetch-site');
  if (site !== undefined) return site === 'same-origin';
  const origin = req.get('origin');
  if (origin === undefined) return null;
  return URL.canParse(origin) && new URL(origin).host === req.get('host')?.toLowerCase();
}
