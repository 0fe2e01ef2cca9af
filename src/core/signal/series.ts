/** A series and its parts, as every room sees them. */
import type { Codec } from './codec.ts';
import type { Dtype } from '../numbers/dtype.ts';
import type { Rate } from './rate.ts';
import type { Tags, TagValue } from './tag-value.ts';

/** The project that series belong to by default; every store has it. */
export const DEFAULT_PROJECT = 'default';

/** What happens to a row of an irregular series whose time is already stored. */
export type DuplicateRule = 'last' | 'error' | 'keep';
/** `relative`: times count from the start of the recording, shown as if it began at 1970-01-01T00:00:00Z. */
export type TimeReference = 'utc' | 'relative';

/** What a signal does between two of its rows, as NWB's `continuity` says it. */
export const CONTINUITIES = ['continuous', 'step', 'instantaneous'] as const;
export type Continuity = (typeof CONTINUITIES)[number];

export type { Tags, TagValue };

/**
 * One channel. Its calibration is linear (`scale`, `offset`) or in the terms of its file. These terms give the same
 * physical numbers as other readers do, bit for bit, where a rounded `scale` would not. WFDB has a `gain`, in units of
 * value per physical unit, and a `baseline`, the value at physical zero. EDF has the digital and the physical range,
 * which stand for each other.
 */
export interface Channel {
  readonly label: string;
  readonly unit?: string;
  readonly scale?: number;
  readonly offset?: number;
  readonly gain?: number;
  readonly baseline?: number;
  /** Range of the converter, in stored values; without `physical_…` it says no more than that. */
  readonly digital_min?: number;
  readonly digital_max?: number;
  /** What `digital_min` and `digital_max` stand for; the first may be the larger one. */
  readonly physical_min?: number;
  readonly physical_max?: number;
  /** Where it was taken: a site of the body, a coordinate, a well. */
  readonly location?: string;
  /** What it belongs to: a shank, a plate, a derivation. */
  readonly group?: string;
  /** Filters as the amplifier applied them, such as `HP:0.1Hz LP:75Hz` in EDF+. */
  readonly filtering?: string;
  /** What it was taken against. */
  readonly reference?: string;
  readonly impedance_ohm?: number;
  /** True if it is not to be used. */
  readonly bad?: boolean;
  /** What else a reader may show. */
  readonly info?: Readonly<Record<string, unknown>>;
}

export type Sampling =
  | {
      readonly kind: 'regular';
      readonly rate: Rate;
      readonly startNs: bigint | null;
      /** How many samples a start may be off and still go on. Absent: half a sample, and what a slow clock adds. */
      readonly startTolerance?: number;
    }
  | { readonly kind: 'irregular' };

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
  readonly continuity: Continuity | null;
  /** Smallest difference between two values that means anything, in units of the physical values. */
  readonly resolution: number | null;
  /**
   * The stored value that stands for none. It is NaN in physical values, and not counted. It never changes, for
   * statistics are made without it.
   */
  readonly missingValue: number | bigint | null;
  /** Where the clock on the wall was, as the IANA names it: times are UTC all the same. */
  readonly timeZone: string | null;
  /** What others call it, by who they are: `{"dandi": "000123"}`. */
  readonly externalIds: Readonly<Record<string, string>>;
  /** Where it comes from: instrument, software, operator, subject, source file and its SHA-256, what it is derived from, and whatever else. */
  readonly provenance: Readonly<Record<string, unknown>>;
  /** The recording that it is to belong to; absent or null: to none. */
  readonly recording?: RecordingWish | null;
}

/** What a recording was made from. */
export interface RecordingSource {
  readonly file: string;
  /**
   * Checksum of the file. If a recording has several files, it is that of all of them one after the other, as `cat … |
   * sha256sum` prints it.
   */
  readonly sha256: string;
  /** Those several, in that order. */
  readonly files?: readonly string[];
}

/** A recording that is there, or one by a name, which is made if it is not there. */
export type RecordingWish =
  | { readonly id: string }
  | { readonly name: string; readonly source: RecordingSource | null; readonly startNs: bigint | null };

/** A recording as its series know it. */
export interface RecordingLabel {
  readonly id: string;
  readonly name: string;
}

/** Names that others have for one series. */
export const MAX_EXTERNAL_IDS = 50;

/** Most bytes of provenance as JSON, also after a change. */
export const MAX_PROVENANCE_BYTES = 64 * 1024;

/** What a series says if nobody does. */
export const UNSAID = {
  continuity: null,
  resolution: null,
  missingValue: null,
  timeZone: null,
  externalIds: {},
} as const satisfies Partial<NewSeries>;

/** SHA-256 of all that a reader sees of a series, in the order of a read of the whole, as `sha256:` and hexadecimal digits. */
export interface ContentHash {
  /** Hash of the little-endian values, rows × channels. */
  readonly values: string;
  /** Hash of the times of an irregular series, int64 ns; null for regular ones. */
  readonly times: string | null;
  readonly rows: number;
  /** Commit of the samples that were hashed. */
  readonly commit: bigint;
}

/** The newest row of a series. */
export interface LastValue {
  readonly ns: bigint;
  /** Null for an irregular series, whose rows have no lasting numbers. */
  readonly row: number | null;
  /** Values as stored, and calibrated; one for each channel. */
  readonly values: readonly (number | bigint)[];
  readonly physical: readonly number[];
}

export interface Series extends Omit<NewSeries, 'recording'> {
  readonly id: string;
  readonly recording: RecordingLabel | null;
  /** Since when it takes no more samples, while what describes it may still change; null: it is open. */
  readonly sealedAt: Date | null;
  /** Null while it is open, and until the hash has been computed. */
  readonly contentHash: ContentHash | null;
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

/** Fields a PATCH may change. Null deletes an optional field; a tag, an external id or a key of the provenance set to null is removed. */
export interface SeriesPatch {
  readonly name?: string;
  readonly description?: string | null;
  readonly unit?: string | null;
  readonly scale?: number;
  readonly offset?: number;
  readonly channels?: readonly Channel[];
  readonly tags?: Readonly<Record<string, TagValue | null>>;
  readonly continuity?: Continuity | null;
  readonly resolution?: number | null;
  readonly timeZone?: string | null;
  readonly externalIds?: Readonly<Record<string, string | null>>;
  readonly provenance?: Readonly<Record<string, unknown>>;
  /** Tolerance of a regular series, in samples; null: the default. */
  readonly startTolerance?: number | null;
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
