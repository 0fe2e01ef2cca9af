/** The service: the API, and unless told otherwise a worker in the same process. */
import type { Logger } from 'pino';
import { createApp, listen, tryAddress } from '../http/server.ts';
import { openPage } from '../http/routes/page-routes.ts';
import { openGround, openService, openWorker } from './assemble.ts';
import type { Config } from './process/config.ts';
import { closeInPhases, type Phase } from './process/phases.ts';
import { VERSION } from './process/version.ts';

const HTTP_CLOSE_MS = 10_000;

export interface Running {
  readonly url: string;
  /**
   * A link that signs a browser in, once and within the hour; null where there is no page to open.
   * @param path of the page
   */
  signInLink(path?: string): string | null;
  close(): Promise<void>;
}

export async function serve(config: Config, log: Logger, options: { worker: boolean }): Promise<Running> {
  const ground = await openGround(config, log, () => tryAddress(config.host, config.port));
  const closing: Phase[] = [...ground.closing];
  try {
    const { service, makeCode, endStreams, closing: servicePhases } = await openService(config, ground);
    closing.unshift(...servicePhases);
    if (options.worker) closing.unshift(...(await openWorker(config, ground)).closing);
    const page = openPage();
    const http = await listen(
      createApp(service, { log: ground.log, version: VERSION, limits: config.http, origins: config.corsOrigins, page }),
      config.host,
      config.port,
      config.http,
    );
    closing.unshift({ name: 'http', limitMs: HTTP_CLOSE_MS + 1_000, close: () => http.close(HTTP_CLOSE_MS) });
    // Before the requests that are waited for: streams never end by themselves.
    closing.unshift(endStreams);
    return {
      url: http.url,
      signInLink: (path = '/') => (page.isBuilt ? signInLink(http.url, path, makeCode()) : null),
      close: () => closeInPhases(closing, log),
    };
  } catch (error) {
    await closeInPhases(closing, log);
    throw error;
  }
}

/** What stands behind the # is sent to no server, and so is in no log. */
function signInLink(url: string, path: string, code: string): string {
  return `${url}/signin${path === '/' ? '' : `?to=${encodeURIComponent(path)}`}#${code}`;
}

/** The worker alone, for machines that only flush and compact. */
export async function work(config: Config, log: Logger): Promise<{ close(): Promise<void> }> {
  const ground = await openGround(config, log);
  const closing = [...(await openWorker(config, ground)).closing, ...ground.closing];
  return { close: () => closeInPhases(closing, log) };
}
