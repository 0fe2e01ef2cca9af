/** Numbers of the service from its metrics: those that somebody who looks at a page wants to know. */

export interface Gauge {
  readonly name: string;
  readonly help: string;
  readonly value: number;
}

/** Without labels, and not of the process itself. */
const SHOWN = /^varve_\w+$/;
const LEFT_OUT = /_(?:bucket|sum|count|total|created)$/;

/** @param text in the format of Prometheus */
export function gaugesOf(text: string): Gauge[] {
  const helps = new Map<string, string>();
  const gauges: Gauge[] = [];
  for (const line of text.split('\n')) {
    const help = /^# HELP (\S+) (.*)$/.exec(line);
    if (help) helps.set(help[1], help[2]);
    const sample = /^(\w+) ([^ ]+)$/.exec(line);
    if (!sample || !SHOWN.test(sample[1]) || LEFT_OUT.test(sample[1])) continue;
    gauges.push({ name: sample[1], help: helps.get(sample[1]) ?? sample[1], value: Number(sample[2]) });
  }
  return gauges.filter((each) => Number.isFinite(each.value));
}
