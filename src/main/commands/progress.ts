/** How far something long is, on standard error: a bar for a person who watches, now and then a line for a log. */
import { SingleBar, Presets } from 'cli-progress';

/** Lines of a log come this far apart; what takes less says nothing. */
const LINE_MS = 3_000;
const MIB = 1024 * 1024;

export class Progress {
  readonly #label: string;
  readonly #total: number | null;
  readonly #show: (value: number) => string;
  readonly #bar: SingleBar | null;
  #value = 0;
  #lastLineMs = performance.now();

  /**
   * @param total null if nobody knows
   * @param unit `bytes` are shown in MiB
   */
  constructor(label: string, total: number | null, unit: string) {
    this.#label = label;
    this.#total = total;
    this.#show = unit === 'bytes' ? (value) => `${(value / MIB).toFixed(1)} MiB` : (value) => `${value} ${unit}`;
    this.#bar = process.stderr.isTTY ? this.#startBar() : null;
  }

  add(amount: number): void {
    this.reach(this.#value + amount);
  }

  reach(value: number): void {
    this.#value = value;
    if (this.#bar) return this.#bar.update(value);
    const nowMs = performance.now();
    if (nowMs - this.#lastLineMs < LINE_MS) return undefined;
    this.#lastLineMs = nowMs;
    const of = this.#total === null ? '' : ` of ${this.#show(this.#total)}`;
    process.stderr.write(`${this.#label}: ${this.#show(value)}${of}\n`);
    return undefined;
  }

  stop(): void {
    this.#bar?.stop();
  }

  #startBar(): SingleBar {
    const show = this.#show;
    const known = '{bar} {percentage} % · {value} of {total} · {duration_formatted} · ETA {eta_formatted}';
    const bar = new SingleBar(
      {
        format: `{label}  ${this.#total === null ? '{value} · {duration_formatted}' : known}`,
        formatValue: (value, _options, type) => (type === 'value' || type === 'total' ? show(value) : String(value)),
        barsize: 24,
        clearOnComplete: true,
        // Otherwise Ctrl-C would leave a terminal that does not wrap.
        linewrap: true,
      },
      Presets.shades_classic,
    );
    bar.start(this.#total ?? 0, 0, { label: this.#label });
    return bar;
  }
}

/** Shows the progress of work that tells how much of how much is done. */
export async function showProgress<T>(
  label: string,
  unit: string,
  work: (onProgress: (done: number, total: number) => void) => Promise<T>,
): Promise<T> {
  let progress: Progress | null = null;
  try {
    return await work((done, total) => {
      progress ??= new Progress(label, total, unit);
      progress.reach(done);
    });
  } finally {
    (progress as Progress | null)?.stop();
  }
}
