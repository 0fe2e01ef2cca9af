/**
 * A service behind the routes whose answers a test chooses, for what the transport alone promises. Whatever a test did not
 * choose fails.
 */
import { UNSAID, type Series } from '../../src/core/signal/series.ts';
import { VarveError } from '../../src/core/errors.ts';
import type { Principal } from '../../src/flows/principal.ts';
import type { Service } from '../../src/http/services.ts';
import type { Log } from '../../src/http/request/request-log.ts';

export const SERIES_ID = '0198c5e0-0000-7000-8000-000000000001';

export const SERIES: Series = {
  id: SERIES_ID,
  project: 'default',
  name: 'mouse-12/ecg',
  description: null,
  dtype: 'int16',
  channels: [{ label: 'MLII' }],
  unit: null,
  scale: 1,
  offset: 0,
  sampling: { kind: 'irregular' },
  timeReference: 'utc',
  duplicates: 'last',
  codec: 'gzip',
  tags: {},
  ...UNSAID,
  provenance: {},
  recording: null,
  sealedAt: null,
  contentHash: null,
  rows: 0,
  firstNs: null,
  lastNs: null,
  removed: 0,
  commit: 4n,
  version: 2,
  createdAt: new Date(0),
  updatedAt: new Date(0),
};

/** Tokens say what they may: `read`, `write,read`, `admin@lab` (limited to a project). */
function principalFor(token: string): Principal {
  const [scopes, project] = token.split('@');
  if (scopes === 'unknown') throw new VarveError('unauthorized', 'The token is not known', { slug: 'invalid-token' });
  return {
    tokenId: token,
    scopes: scopes.split(',') as Principal['scopes'],
    projects: project === undefined ? null : { ids: [project], names: [project] },
  };
}

export interface Choices {
  readonly access?: Partial<Service['access']>;
  readonly sessions?: Partial<Service['sessions']>;
  readonly shares?: Partial<Service['shares']>;
  readonly series?: Partial<Service['series']>;
  readonly metadata?: Partial<Service['metadata']>;
  readonly subjects?: Partial<Service['subjects']>;
  readonly recordings?: Partial<Service['recordings']>;
  readonly imports?: Partial<Service['imports']>;
  readonly uploads?: Partial<Service['uploads']>;
  readonly state?: Partial<Service['state']>;
  readonly samples?: Partial<Service['samples']>;
  readonly ingest?: Partial<Service['ingest']>;
  readonly live?: Partial<Service['live']>;
  readonly retention?: Partial<Service['retention']>;
  readonly exports?: Partial<Service['exports']>;
  readonly space?: Partial<Service['space']>;
  readonly health?: Partial<Service['health']>;
}

export function stubService(choices: Choices = {}): Service {
  const part = (name: string, chosen: object): unknown =>
    new Proxy(chosen, {
      get: (target, method) =>
        Reflect.get(target, method) ?? (() => Promise.reject(new Error(`${name}.${String(method)} was not chosen`))),
    });
  return {
    access: part('access', { authenticate: async (token: string) => principalFor(token), ...choices.access }),
    sessions: part('sessions', choices.sessions ?? {}),
    shares: part('shares', choices.shares ?? {}),
    series: part('series', { get: async () => SERIES, ...choices.series }),
    savedSearches: part('savedSearches', {}),
    metadata: part('metadata', choices.metadata ?? {}),
    subjects: part('subjects', choices.subjects ?? {}),
    recordings: part('recordings', choices.recordings ?? {}),
    imports: part('imports', choices.imports ?? {}),
    uploads: part('uploads', { folder: '', maxBytes: 1, keptMs: 1, ...choices.uploads }),
    state: part('state', choices.state ?? {}),
    samples: part('samples', choices.samples ?? {}),
    ingest: part('ingest', choices.ingest ?? {}),
    influxql: part('influxql', {}),
    live: part('live', choices.live ?? {}),
    retention: part('retention', choices.retention ?? {}),
    exports: part('exports', choices.exports ?? {}),
    space: part('space', choices.space ?? {}),
    health: part('health', { alive: () => 'ok', ...choices.health }),
  } as Service;
}

/** Keeps every line it is given. */
export function keepingLog(): Log & { readonly lines: string[] } {
  const lines: string[] = [];
  const keep =
    (level: string) =>
    (fields: object, message: string): void => {
      const text = Object.values(fields).map((field) => (field instanceof Error ? field.stack : JSON.stringify(field)));
      lines.push(`${level} ${message} ${text.join(' ')}`);
    };
  return { lines, debug: keep('debug'), info: keep('info'), warn: keep('warn'), error: keep('error') };
}
