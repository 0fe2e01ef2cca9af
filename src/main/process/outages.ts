/**
 * A log in which an outage is one line. While Postgres is away, every request, connection and timer fails with the same
 * cause. The log says once that it cannot be reached, and once that it can again.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Logger } from 'pino';
import { faultOf } from '../../core/fault.ts';
import { withinLimit } from '../../jobs/time-limit.ts';
import { messageOf } from '../../core/errors.ts';

/** What may be away as a whole. */
export interface OutagePart {
  /** Begins the sentence, as in `Postgres cannot be reached`. */
  readonly name: string;
  /** Resolves if it answers; an error tells why not. */
  readonly reach: () => Promise<unknown>;
}

/** A part that takes longer to answer is away. */
const REACH_LIMIT_MS = 2_000;
/** Pause between two looks whether what is away is back. */
const LOOK_EVERY_MS = 1_000;
/** What was under way when a part came back may still fail for this long. */
const AFTERMATH_MS = 3_000;
/** Where no part is away, lines with the same words come this far apart. */
const REPEAT_EVERY_MS = 10_000;
/** Lines kept while the parts are asked. They are alike: others are only counted. */
const MAX_HELD = 100;
/** Kinds of lines whose last appearance is remembered. */
const MAX_KINDS = 1_000;

type LogLevel = 'warn' | 'error';

interface LogLine {
  readonly level: LogLevel;
  readonly fields: Readonly<Record<string, unknown>>;
  readonly message: string;
}

export interface OutageLog {
  /** The same log, through which outages are told once. Lines that are left out appear at the level debug. */
  readonly log: Logger;
  /** Asks no part any more. */
  close(): void;
}

/** @param parts asked in turn when a line blames something that is away: those with `err` of that kind, or `fault: 'away'` */
export function foldOutages(log: Logger, parts: readonly OutagePart[]): OutageLog {
  const outages = new Outages(log, parts);
  const fold =
    (level: LogLevel) =>
    (...[fields, message, ...rest]: unknown[]): void => {
      if (typeof fields === 'object' && fields !== null && typeof message === 'string' && blamesOutage(fields)) {
        outages.take({ level, fields: { ...fields }, message });
      } else log[level](fields, message as string, ...rest);
    };
  const folding = Object.assign(Object.create(log) as Logger, { warn: fold('warn'), error: fold('error') });
  return { log: folding, close: () => outages.close() };
}

/** A full disk counts, too: every append fails alike, and none of them says more than the first. */
function blamesOutage({ err, fault }: { err?: unknown; fault?: unknown }): boolean {
  const { code } = (err ?? {}) as { code?: unknown };
  return fault === 'away' || faultOf(err) !== null || code === 'unavailable' || code === 'storage-full';
}

class Outages {
  readonly #log: Logger;
  readonly #parts: readonly OutagePart[];
  readonly #closed = new AbortController();
  readonly #lastMs = new Map<string, { ms: number; leftOut: number }>();
  #held: LogLine[] = [];
  #leftOut = 0;
  #looking = false;
  #isAway = false;
  #backMs = -Infinity;

  constructor(log: Logger, parts: readonly OutagePart[]) {
    this.#log = log;
    this.#parts = parts;
  }

  take(line: LogLine): void {
    if (this.#isAway || performance.now() - this.#backMs < AFTERMATH_MS || this.#held.length === MAX_HELD) {
      return this.#leaveOut(line);
    }
    this.#held.push(line);
    if (!this.#looking) void this.#look();
    return undefined;
  }

  close(): void {
    this.#closed.abort();
    this.#tellHeld();
  }

  /** Asks the parts, says which are away, and stays with those until they are back. */
  async #look(): Promise<void> {
    this.#looking = true;
    const begun = performance.now();
    const away = (await Promise.all(this.#parts.map(whyAway))).filter((each) => each !== null);
    if (away.length === 0 || this.#closed.signal.aborted) {
      this.#looking = false;
      return this.#tellHeld();
    }
    this.#isAway = true;
    for (const { part, reason } of away) this.#log.error({ reason }, `${part.name} cannot be reached`);
    for (const line of this.#held.splice(0)) this.#leaveOut(line);
    await Promise.all(away.map(({ part }) => this.#untilBack(part, begun)));
    this.#log.debug({ lines: this.#leftOut }, 'lines were left out while a part was away');
    this.#leftOut = 0;
    this.#isAway = false;
    this.#looking = false;
    this.#backMs = performance.now();
    return undefined;
  }

  async #untilBack(part: OutagePart, begunMs: number): Promise<void> {
    const { signal } = this.#closed;
    while (!signal.aborted) {
      await sleep(LOOK_EVERY_MS, undefined, { ref: false, signal }).catch(() => {});
      if (signal.aborted || (await whyAway(part)) !== null) continue;
      const seconds = Math.round((performance.now() - begunMs) / 1000);
      this.#log.warn({ seconds }, `${part.name} is reached again`);
      return;
    }
  }

  /** No part is away: the lines are their own news, but one of a kind is enough for a while. */
  #tellHeld(): void {
    for (const line of this.#held.splice(0)) {
      const { err, ...fields } = line.fields;
      const reason = err === undefined || err === null ? undefined : messageOf(err);
      const { slug } = (err ?? {}) as { slug?: string };
      const kind = `${line.message} ${slug ?? reason ?? ''}`;
      const last = this.#lastMs.get(kind);
      const nowMs = performance.now();
      if (last && nowMs - last.ms < REPEAT_EVERY_MS) {
        last.leftOut++;
        this.#leaveOut(line);
        continue;
      }
      if (this.#lastMs.size === MAX_KINDS) this.#lastMs.clear();
      this.#lastMs.set(kind, { ms: nowMs, leftOut: 0 });
      const alike = last?.leftOut ? { alike: last.leftOut } : {};
      this.#log[line.level]({ ...fields, ...(reason !== undefined && { reason }), ...alike }, line.message);
    }
  }

  #leaveOut({ fields, message }: LogLine): void {
    this.#leftOut++;
    this.#log.debug(fields, message);
  }
}

async function whyAway(part: OutagePart): Promise<{ part: OutagePart; reason: string } | null> {
  try {
    await withinLimit(REACH_LIMIT_MS, part.name, part.reach());
    return null;
  } catch (error) {
    return { part, reason: messageOf(error) };
  }
}
