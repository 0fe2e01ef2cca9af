/** Numbers, sizes and times as people read them. */

const DIGITS = 3;
const BYTES = ['B', 'kB', 'MB', 'GB', 'TB', 'PB'];
const SPANS: readonly (readonly [number, string])[] = [
  [86_400, 'd'],
  [3_600, 'h'],
  [60, 'min'],
  [1, 's'],
  [1e-3, 'ms'],
  [1e-6, 'µs'],
];
const DAY = new Intl.DateTimeFormat('en-GB', { dateStyle: 'medium', timeZone: 'UTC' });
const MINUTE = new Intl.DateTimeFormat('en-GB', { dateStyle: 'medium', timeStyle: 'short', timeZone: 'UTC' });

export function spelledCount(count: number): string {
  return count.toLocaleString('en-US').replaceAll(',', ' ');
}

export function spelledBytes(bytes: number): string {
  let at = 0;
  for (; bytes >= 1000 && at < BYTES.length - 1; at++) bytes /= 1000;
  return `${at === 0 ? bytes : Number(bytes.toPrecision(DIGITS))} ${BYTES[at]}`;
}

export function spelledRate(sampling: { readonly kind: string; readonly rate_hz?: number }): string {
  const { rate_hz: hz } = sampling;
  if (hz === undefined) return 'irregular';
  if (hz >= 1000) return `${Number((hz / 1000).toPrecision(6))} kHz`;
  if (hz >= 0.1) return `${Number(hz.toPrecision(6))} Hz`;
  return `every ${spelledSpan(1 / hz)}`;
}

/** @param seconds how long; two units at most */
export function spelledSpan(seconds: number): string {
  const [size, unit] = SPANS.find(([size]) => seconds >= size) ?? [1, 's'];
  const count = seconds / size;
  const next = SPANS[SPANS.findIndex(([each]) => each === size) + 1];
  if (!next || size <= 1 || count >= 100) return `${Number(count.toPrecision(DIGITS))} ${unit}`;
  const whole = Math.floor(count);
  const rest = Math.floor((seconds - whole * size) / next[0]);
  return rest > 0 ? `${whole} ${unit} ${rest} ${next[1]}` : `${whole} ${unit}`;
}

/** @param time RFC 3339; shown in UTC */
export function spelledDay(time: string): string {
  return DAY.format(new Date(time));
}

export function spelledMinute(time: string): string {
  return MINUTE.format(new Date(time));
}

/** How long ago a time was. */
export function spelledAgo(time: string, nowMs: number = Date.now()): string {
  const seconds = (nowMs - Date.parse(time)) / 1000;
  if (seconds < 0) return spelledMinute(time);
  if (seconds < 60) return 'now';
  const [size, unit] = SPANS.find(([size]) => seconds >= size) ?? [1, 's'];
  const count = Math.floor(seconds / size);
  if (unit === 'd' && count > 60) return spelledDay(time);
  return `${count} ${unit} ago`;
}

/** A value of a tag, of whatever type. */
export function spelledValue(value: unknown): string {
  if (value === null || value === undefined) return '—';
  if (Array.isArray(value)) return value.map(spelledValue).join(', ');
  if (typeof value !== 'object') return typeof value === 'string' ? value : JSON.stringify(value);
  const { time, value: number, unit } = value as { time?: string; value?: number | string; unit?: string };
  if (time !== undefined) return time.replace('T', ' ').replace(/Z$/, ' UTC');
  if (number !== undefined && unit !== undefined) return `${number} ${unit}`;
  return JSON.stringify(value);
}
