/** What a series takes on the disk, and its chunks with their checksums. */
import { ColumnHeads } from '../column-heads.tsx';
import { useAnswer } from '../answer.ts';
import { dataOf, type Api, type SeriesItem } from '../api.ts';
import { spelledBytes, spelledCount } from '../spelled.ts';
import { Fact } from './facts.tsx';

const CHUNKS_SHOWN = 100;
/** A smaller gain is not worth a word. */
const MIN_RATIO = 1.05;

export function StoragePart({ api, series: { id, commit } }: { readonly api: Api; readonly series: SeriesItem }) {
  const { data, failure } = useAnswer(`${id} ${commit}`, async (signal) => {
    const path = { id };
    const [space, chunks] = await Promise.all([
      dataOf(api.GET('/v1/series/{id}/storage', { params: { path }, signal })),
      dataOf(api.GET('/v1/series/{id}/chunks', { params: { path, query: { limit: CHUNKS_SHOWN } }, signal })),
    ]);
    return { space, chunks };
  }).value;
  if (failure !== null) return <p class="quiet">{failure}</p>;
  if (!data) return <div class="skeleton skeleton-block" />;
  const { space, chunks } = data;
  const smaller = space.ratio === null || space.ratio < MIN_RATIO ? '' : `, ${space.ratio.toFixed(1)} times smaller`;
  return (
    <>
      <dl class="facts">
        <Fact name="Samples" value={spelledBytes(space.raw_bytes)} />
        <Fact name="Stored" value={`${spelledBytes(space.stored_bytes)}${smaller}`} />
        <Fact name="Fresh" value={`${spelledBytes(space.fresh_bytes)} are in Postgres, and in no file yet`} />
        <Fact name="Chunks" value={`${spelledCount(space.chunks)}, each with a checksum that every read compares`} />
      </dl>
      {chunks.items.length === 0 ? null : (
        <div class="table-box table-low" tabIndex={0} role="region" aria-label="Chunks">
          <table>
            <ColumnHeads names={['First row', 'Rows', 'Where', 'Stored', 'CRC-32', 'State']} />
            <tbody>
              {chunks.items.map((chunk) => (
                <tr key={`${chunk.first_row} ${chunk.generation} ${chunk.values_crc32}`}>
                  <td>{spelledCount(chunk.first_row)}</td>
                  <td>{spelledCount(chunk.rows)}</td>
                  <td>{chunk.shard === null ? 'fresh' : <code>{chunk.shard.slice(0, 13)}…</code>}</td>
                  <td>{spelledBytes(chunk.bytes)}</td>
                  <td>
                    <code>{chunk.values_crc32}</code>
                  </td>
                  <td>{chunk.damaged_at === null ? 'good' : 'damaged'}</td>
                </tr>
              ))}
            </tbody>
          </table>
          {chunks.next === null ? null : <p class="quiet">These are the first {CHUNKS_SHOWN}.</p>}
        </div>
      )}
    </>
  );
}
