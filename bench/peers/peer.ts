/** A peer: a library or a service that stores the same workload and is asked for the same rows, in the same run. */
import type { Workload } from '../workload.ts';

/** Rows `[from, to)` of one series of the workload. */
export interface Place {
  readonly series: number;
  readonly from: number;
  readonly to: number;
}

/** One that runs. Its files are its own; one workload is in it at a time. */
export interface Peer {
  /** Heads its column. */
  readonly name: string;
  readonly version: string;
  /** How it stores the workload, for those who read the table. */
  readonly layout: string;

  /** Gives it the values that it is to store, and to compare its answers with. */
  load(workload: Workload): Promise<void>;
  /** Stores all series anew, in place of what it had. @returns ms until they are as durable as it makes them, and readable */
  ingest(): Promise<number>;
  /**
   * Reads places of what was ingested last, one after the other, and compares every bit after the clock has stopped.
   * @returns ms of each
   * @throws WrongAnswer
   */
  read(places: readonly Place[]): Promise<number[]>;
  /**
   * Appends rows one by one to a new series, each as durable as the peer makes it before the next, and reads them back. What was ingested may be gone.
   * @returns ms of each
   * @throws WrongAnswer
   */
  append(count: number): Promise<number[]>;
  /** Size of what was ingested last. It may wait for what the peer does to its files in the background. */
  diskMb(): Promise<number>;
  /** Since its start; null where the system does not tell. */
  peakRssMb(): number | null;
  /** Ends it. Its files are the caller's to remove. */
  stop(): Promise<void>;

  /** As {@link ingest}, compressed as the peer does it by request. Only of those that do, and do not by themselves. @returns ms */
  ingestCompressed?(): Promise<number>;
  /** What there is to say about its answers after all of them have been compared; null: they were what was sent. */
  remark?(): string | null;
}

export interface PeerKind {
  readonly name: string;
  /** What must be installed for it. */
  readonly needs: string;
  /**
   * @param folder an empty one of its own, on the same disk as Varve's
   * @returns null if it is not installed here
   */
  start(folder: string): Promise<Peer | null>;
}
