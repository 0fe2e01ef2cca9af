/** The way into the queue: bounded, and with nothing dropped in silence. What cannot be delivered goes to the dead letters. */
import { setTimeout as sleep } from 'node:timers/promises';
import { messageOf } from '../../core/errors.ts';
import { DiskQueue } from '../../storage/queue/disk-queue.ts';
import { MAX_PAYLOAD_BYTES, RECORD_HEADER_BYTES } from '../../storage/queue/queue-record.ts';
import { DeadLetters } from './dead-letters.ts';
import { EXIT_CODES, GiveUp } from './give-up.ts';
import type { PushedLines } from './push-records.ts';
import { StateFile } from './push-state.ts';
import type { Speaker } from './speaker.ts';

export interface SpoolOptions {
  readonly folder: string;
  /** Begins the name of its source. */
  readonly name: string;
  readonly project: string;
  /** Bytes of queue and dead letters together. */
  readonly mostBytes: number;
  /** Whether a full spool ends the command, instead of making it wait. */
  readonly givesUp: boolean;
  readonly speaker: Speaker;
}

/** Where lines come from, and what is kept with them. */
export interface Taken {
  readonly from: string;
  readonly mark?: string;
  /** By which the message is known again; of all of its lines. */
  readonly origin?: bigint;
}

/** With less, lines of a common length are too long. */
export const LEAST_SPOOL_BYTES = 256 * 1024;
export const MOST_SPOOL_MIB = 1024 * 1024;
const MOST_SEGMENT_BYTES = 8 * 1024 * 1024;
/** What is delivered goes by segments: a part of the limit each. */
const SEGMENT_PARTS = 8;
const TAKEN_PARTS = 32;
/** A full spool is looked at again. */
const FULL_PAUSE_MS = 200;
/** What a disk says that is full, or fails. */
const DISK_PAUSE_MS = 2_000;

export class Spool {
  readonly queue: DiskQueue;
  readonly state: StateFile;
  readonly deadLetters: DeadLetters;
  /** Bytes that are taken at once, and of a line. What becomes of short lines has ten times as many. */
  readonly mostTakenBytes: number;
  readonly #options: SpoolOptions;
  #refused = 0;

  private constructor(options: SpoolOptions, queue: DiskQueue, state: StateFile, deadLetters: DeadLetters) {
    this.#options = options;
    this.queue = queue;
    this.state = state;
    this.deadLetters = deadLetters;
    this.mostTakenBytes = Math.min(MAX_PAYLOAD_BYTES / 2, Math.floor(options.mostBytes / TAKEN_PARTS));
  }

  /** Called when something was taken. */
  onTaken: () => void = () => {};

  /** @throws conflict if another process has it, or if it is for another project; corrupt if its state cannot be read */
  static async open(options: SpoolOptions): Promise<Spool> {
    const { folder, mostBytes, speaker } = options;
    const segmentBytes = Math.min(MOST_SEGMENT_BYTES, mostBytes / SEGMENT_PARTS);
    const queue = await DiskQueue.open(folder, {
      segmentBytes,
      onDamage: ({ kind, path, bytes }) =>
        speaker.say(
          kind === 'cut'
            ? `${bytes} bytes at the end of ${path} were not written to their end, and not acknowledged: cut off`
            : `${bytes} bytes of the spool are damaged and passed over: see ${path}`,
        ),
    });
    try {
      return new Spool(options, queue, await StateFile.open(folder, options), await DeadLetters.open(folder));
    } catch (error) {
      await queue.close();
      throw error;
    }
  }

  /** Lines that were refused since the start. */
  get refused(): number {
    return this.#refused;
  }

  /** Says that lines were refused. */
  countRefused(count: number, reason: string): void {
    this.#refused += count;
    const lines = count === 1 ? 'a line was' : `${count} lines were`;
    this.#options.speaker.repeat('refused', `${lines} refused (${reason}): see ${this.deadLetters.path}`);
  }

  /** Whether there is room for more. */
  async hasRoom(bytes = 0): Promise<boolean> {
    return this.queue.bytes + (await this.deadLetters.bytes()) + bytes <= this.#options.mostBytes;
  }

  /**
   * Takes lines, and waits for room as long as it takes. They are durable when it returns.
   * @returns false if it was stopped before, with nothing taken
   * @throws {@link GiveUp} if it does not wait
   */
  async take({ entries, refused }: PushedLines, { from, mark, origin }: Taken, stop: AbortSignal): Promise<boolean> {
    if (entries.length === 0 && refused.length === 0 && mark === undefined) return true;
    const bytes = entries.reduce((sum, { payload }) => sum + payload.length + RECORD_HEADER_BYTES, 0);
    const deadBytes = refused.reduce((sum, { line }) => sum + line.length, 0);
    if (!(await this.#untilRoom(bytes + deadBytes, stop))) return false;
    for (let letters = refused.map(({ line, reason }) => ({ sequence: null, from, payload: line, reason })); ;) {
      try {
        await this.deadLetters.add(letters);
        letters = [];
        const known = origin === undefined ? entries : entries.map((entry) => ({ ...entry, origin }));
        if (known.length > 0 || mark !== undefined) await this.queue.append(known, mark);
        break;
      } catch (error) {
        if (this.#options.givesUp) throw error;
        this.#options.speaker.repeat(
          'disk',
          `the spool cannot be written (${messageOf(error)}): nothing is taken until it can`,
        );
        await sleep(DISK_PAUSE_MS, undefined, { signal: stop }).catch(() => {});
        if (stop.aborted) return false;
      }
    }
    this.#options.speaker.over('disk', 'the spool can be written again');
    if (refused.length > 0) this.countRefused(refused.length, refused[0]?.reason ?? '');
    this.onTaken();
    return true;
  }

  async #untilRoom(bytes: number, stop: AbortSignal): Promise<boolean> {
    while (!(await this.hasRoom(bytes))) {
      this.sayFull();
      await sleep(FULL_PAUSE_MS, undefined, { signal: stop }).catch(() => {});
      if (stop.aborted) return false;
    }
    this.#options.speaker.over('full', 'the spool has room again');
    return true;
  }

  /** @throws {@link GiveUp} if it is not to be waited for */
  sayFull(): void {
    const { mostBytes, givesUp, folder, speaker } = this.#options;
    const held = this.queue.last - this.state.delivered;
    const message = `the spool in ${folder} is full (${held} records, ${mostBytes} bytes with its dead letters)`;
    if (givesUp) throw new GiveUp(EXIT_CODES.spoolFull, `${message}: what comes is refused`);
    speaker.repeat('full', `${message}: nothing more is taken until there is room; nothing is dropped`);
  }

  async close(): Promise<void> {
    await this.queue.close();
  }
}
