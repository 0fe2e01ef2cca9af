/** The peers there are, by the names that `--peers` knows. */
import { CLICKHOUSE } from './clickhouse.ts';
import { DUCKDB } from './duckdb.ts';
import { H5PY } from './h5py.ts';
import { INFLUXDB } from './influxdb.ts';
import type { PeerKind } from './peer.ts';
import { POSTGRES } from './postgres.ts';
import { PYTABLES } from './pytables.ts';
import { VICTORIA_METRICS } from './victoria-metrics.ts';

/** In every run, where they are installed: they are quick, and at hand with npm and two Debian packages. */
export const USUAL_PEERS: readonly PeerKind[] = [H5PY, PYTABLES, POSTGRES, DUCKDB];

/** Beside them on request. */
export const MORE_PEERS: Readonly<Record<string, PeerKind>> = {
  influxdb: INFLUXDB,
  'victoria-metrics': VICTORIA_METRICS,
  clickhouse: CLICKHOUSE,
};
