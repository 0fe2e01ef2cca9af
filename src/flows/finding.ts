/** A finding: what whoever looks after the data is told about one thing, at one place. */

export interface Finding {
  /** Stable slug of what it is. */
  readonly kind: string;
  readonly shard: string | null;
  /** Path of the file, relative to the data root. */
  readonly path: string | null;
  readonly series: string | null;
  readonly row: number | null;
  readonly message: string;
}

export type FindingPlace = Partial<Omit<Finding, 'kind' | 'message'>>;

export function finding(kind: string, message: string, place: FindingPlace = {}): Finding {
  return { kind, shard: null, path: null, series: null, row: null, ...place, message };
}

/** How long ago, in one unit. */
export function formatAge(ageMs: number): string {
  const seconds = Math.round(ageMs / 1000);
  if (seconds < 120) return `${seconds} s`;
  if (seconds < 2 * 3600) return `${Math.round(seconds / 60)} min`;
  if (seconds < 2 * 86_400) return `${Math.round(seconds / 3600)} h`;
  return `${Math.round(seconds / 86_400)} days`;
}
