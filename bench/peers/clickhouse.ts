/** ClickHouse over HTTP: rows of octets in and out. */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { HttpClient } from '../http.ts';
import { settledDiskMb } from './files.ts';
import { START_MS } from '../workload.ts';
import type { PeerKind, Place } from './peer.ts';
import { freePorts, startProgram } from './program.ts';
import { ServicePeer, StartedProgram, type Service } from './service.ts';

const FIRST_MS = BigInt(START_MS);
/** Series, time and value. */
const ROW_BYTES = 2 + 8 + 8;

class ClickHouse extends StartedProgram implements Service {
  readonly name = 'ClickHouse';
  readonly layout =
    'one MergeTree of series, time and value in their order, RowBinary, a request a series; never synced';

  async clear(): Promise<void> {
    await this.#run('DROP TABLE IF EXISTS samples');
    await this.#run(
      'CREATE TABLE samples (series UInt16, ms Int64, value Float64) ENGINE = MergeTree() ORDER BY (series, ms)',
    );
  }

  encode(series: number, values: Float64Array, firstRow: number): Buffer[] {
    const rows = Buffer.allocUnsafe(values.length * ROW_BYTES);
    for (const [i, value] of values.entries()) {
      const at = i * ROW_BYTES;
      rows.writeUInt16LE(series, at);
      rows.writeBigInt64LE(FIRST_MS + BigInt(firstRow + i), at + 2);
      rows.writeDoubleLE(value, at + 10);
    }
    return [rows];
  }

  async send(piece: Buffer): Promise<void> {
    await this.#run('INSERT INTO samples FORMAT RowBinary', piece);
  }

  async finish(): Promise<void> {}

  ask({ series, from, to }: Place): Promise<Buffer> {
    const [first, end] = [FIRST_MS + BigInt(from), FIRST_MS + BigInt(to)];
    return this.#run(
      `SELECT value FROM samples WHERE series = ${series} AND ms >= ${first} AND ms < ${end} ORDER BY ms FORMAT RowBinary`,
    );
  }

  decode(answer: Buffer): Float64Array {
    return new Float64Array(Uint8Array.from(answer).buffer);
  }

  diskMb(): Promise<number> {
    return settledDiskMb(join(this.folder, 'data'));
  }

  #run(statement: string, body?: Buffer): Promise<Buffer> {
    const call = { method: 'POST', body: body ?? '' } as const;
    return this.http.expect(`${this.url}/?query=${encodeURIComponent(statement)}`, call);
  }
}

export const CLICKHOUSE: PeerKind = {
  name: 'ClickHouse',
  needs: 'clickhouse-server (Debian: clickhouse-server)',
  async start(folder) {
    const [port, tcpPort, replicaPort] = await freePorts(3);
    const config = join(folder, 'config.xml');
    await writeFile(
      config,
      `<yandex>
  <logger><level>warning</level><console>1</console></logger>
  <listen_host>127.0.0.1</listen_host>
  <http_port>${port}</http_port><tcp_port>${tcpPort}</tcp_port><interserver_http_port>${replicaPort}</interserver_http_port>
  <path>${folder}/data/</path><tmp_path>${folder}/tmp/</tmp_path>
  <users_config>users.xml</users_config>
  <default_profile>default</default_profile><default_database>default</default_database>
  <mark_cache_size>5368709120</mark_cache_size>
</yandex>
`,
    );
    await writeFile(
      join(folder, 'users.xml'),
      `<yandex>
  <profiles><default></default></profiles>
  <quotas><default></default></quotas>
  <users><default>
    <password></password><networks><ip>127.0.0.1</ip></networks><profile>default</profile><quota>default</quota>
  </default></users>
</yandex>
`,
    );
    const http = new HttpClient(1);
    const url = `http://127.0.0.1:${port}`;
    const program = await startProgram('clickhouse-server', [`--config-file=${config}`], folder, async () => {
      return (await http.exchange(`${url}/ping`)).status === 200;
    });
    if (!program) return null;
    const version = (await http.expect(`${url}/?query=${encodeURIComponent('SELECT version()')}`)).toString().trim();
    return new ServicePeer(new ClickHouse({ folder, url, http, program, version }));
  },
};
