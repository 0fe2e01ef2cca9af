/** Queries of InfluxQL over series that line protocol has made. */
import type { InfluxEpoch } from '../../formats/tables/table-influx.ts';
import type { Principal } from '../principal.ts';

export interface InfluxqlRequest {
  readonly principal: Principal;
  /** The text of the query: some statements. */
  readonly query: string;
  /** The project that statements ask which name none; null: nobody has said it. */
  readonly database: string | null;
  readonly epoch: InfluxEpoch;
  /** Rows of a document; null: one document has all. */
  readonly chunkRows: number | null;
  readonly signal: AbortSignal;
}

export interface InfluxqlService {
  /**
   * Statements are answered one after the other. What is wrong with one is in its result, as InfluxDB does it.
   * @returns JSON, with `chunkRows` a document a line
   * @throws invalid-input naming `q` where the query cannot be read; unavailable
   */
  query(request: InfluxqlRequest): Promise<AsyncIterable<Uint8Array>>;
}
