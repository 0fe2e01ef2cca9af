/** A series and its parts, as every room sees them. */
import type { Codec } from './codec.ts';
import type { Dtype } from './dtype.ts';
import type { Rate } from './rate.ts';
import type { Tags, TagValue } from './tag-value.ts';

/** What happens to a row of an irregular series whose time is already stored. */
export type DuplicateRule = 'last' | 'error' | 'keep';
/** `relative`: times count from the start of the recording, shown as if it began at 1970-01-01T00:00:00Z. */
export type TimeReference = 'utc' | 'relative';

export type { Tags, TagValue };

/**
 * One channel. Its calibration is either linear (`scale`, `offset`) or the converter's own terms
 * (`gain` in units of value per physical unit, `baseline` the value at physical zero), which reproduce the
 * physical numbers of WFDB files bit for bit where a rounded `scale` would not.
 */
export interface Channel {
  readonly label: string;
  readonly unit?: string;
  readonly scale?: number;
  readonly offset?: number;
  readonly gain?: number;
  readonly baseline?: number;
  /** Where it was taken: a site of the body, a coordinate, a well. */
  readonly location?: string;
  /** What it belongs to: a shank, a plate, a derivation. */
  readonly group?: string;
  /** As the amplifier applied it, such as `HP:0.1Hz LP:75Hz` in EDF+. */
  readonly filtering?: string;
  /** What it was taken against. */
  readonly reference?: string;
  readonly impedance_ohm?: number;
  /** Not to be used. */
  readonly bad?: boolean;
  /** What else a reader may show. */
  readonly info?: Readonly<Record<string, unknown>>;
}

export type Sampling =
  { readonly kind: 'regular'; readonly rate: Rate; readonly startNs: bigint | null } | { readonly kind: 'irregular' };

/** What a client may say when it creates a series. Everything is decided: defaults have been applied. */
export interface NewSeries {
  readonly project: string;
  readonly name: string;
  readonly description: string | null;
  readonly dtype: Dtype;
  readonly channels: readonly Channel[];
  readonly unit: string | null;
  readonly scale: number;
  readonly offset: number;
  readonly sampling: Sampling;
  readonly timeReference: TimeReference;
  readonly duplicates: DuplicateRule;
  readonly codec: Codec;
  readonly tags: Tags;
  /** Read, not filtered on: instrument, software, operator, source file and its SHA-256, … */
  readonly provenance: Readonly<Record<string, unknown>>;
}

export interface Series extends NewSeries {
  readonly id: string;
  /** Row numbers given out: those of visible rows are below. */
  readonly rows: number;
  /** Rows that were removed, and are not there any more; the others keep their numbers. */
  readonly removed: number;
  /** Smallest and largest visible time; for a regular series the time of its first and last sample. */
  readonly firstNs: bigint | null;
  readonly lastNs: bigint | null;
  /** Commit number of the newest visible change of its samples, and version of its metadata. */
  readonly commit: bigint;
  readonly version: number;
  readonly createdAt: Date;
  readonly updatedAt: Date;
}

/** Fields a PATCH may change. Null deletes an optional field; a tag set to null is removed. */
export interface SeriesPatch {
  readonly name?: string;
  readonly description?: string | null;
  readonly unit?: string | null;
  readonly scale?: number;
  readonly offset?: number;
  readonly channels?: readonly Channel[];
  readonly tags?: Readonly<Record<string, TagValue | null>>;
  readonly provenance?: Readonly<Record<string, unknown>>;
}

/** A mark on the time line of a series: `[startNs, endNs)`, a point where both are equal. */
export interface Annotation {
  readonly id: string;
  readonly startNs: bigint;
  readonly endNs: bigint;
  readonly label: string;
  readonly payload: Readonly<Record<string, unknown>>;
  /** Labels of the channels that are meant; without: all. */
  readonly channels?: readonly string[];
  /** Who says so, a person or a program. */
  readonly author?: string;
}

export type NewAnnotation = Omit<Annotation, 'id'>;
