/** Where HDF5's index has a chunk. */

/** Where HDF5 has the chunk that begins at a row of the datasets; null: nowhere, its rows were never written. */
export interface ChunkPlace {
  readonly valuesOffset: number | null;
  /** Length of a compressed block. */
  readonly valuesLength: number | null;
  /** Null also for regular series. */
  readonly timesOffset: number | null;
  readonly timesLength: number | null;
  /** What HDF5 says if it cannot read the chunk. */
  readonly problem: string | null;
}

/** The place of a chunk that cannot be found. */
export function nowhere(problem: string): ChunkPlace {
  return { valuesOffset: null, valuesLength: null, timesOffset: null, timesLength: null, problem };
}
