/**
 * What a query of InfluxQL asks: the part that dashboards and clients of InfluxDB 1 send.
 * @see https://docs.influxdata.com/influxdb/v1/query_language/spec/
 */

/** A name, or all that match a regular expression. */
export type NameMatch = { readonly name: string } | { readonly regex: string };

export type TagTest =
  | { readonly op: '=' | '!='; readonly key: string; readonly text: string }
  | { readonly op: '=~' | '!~'; readonly key: string; readonly regex: string };

export type TagCondition =
  | { readonly kind: 'and' | 'or'; readonly of: readonly TagCondition[] }
  | { readonly kind: 'test'; readonly test: TagTest };

/** Where a statement looks. */
export interface WhereClause {
  /** Null: all series. */
  readonly tags: TagCondition | null;
  /** `[startNs, endNs)`; undefined: open. */
  readonly startNs?: bigint;
  readonly endNs?: bigint;
}

export interface Page {
  /** Undefined: all. */
  readonly limit?: number;
  readonly offset: number;
}

/** Functions over the points of a field, and how many arguments they take beside it. */
export const INFLUX_FUNCTIONS = {
  count: 0,
  sum: 0,
  mean: 0,
  min: 0,
  max: 0,
  first: 0,
  last: 0,
  spread: 0,
  stddev: 0,
  median: 0,
  percentile: 1,
} as const;
export type InfluxFunction = keyof typeof INFLUX_FUNCTIONS;

/** One column that is asked for. */
export type Selected =
  | { readonly kind: 'all' }
  | { readonly kind: 'column'; readonly name: string; readonly alias: string }
  | {
      readonly kind: 'call';
      readonly call: InfluxFunction;
      /** Null: every field. */
      readonly field: string | null;
      readonly argument: number | null;
      readonly alias: string | null;
    };

export type InfluxFill = 'none' | 'null' | 'previous' | 'linear' | { readonly number: number };

export interface GroupClause {
  /** Null: one bucket for the whole range. */
  readonly everyNs: bigint | null;
  readonly tags: readonly NameMatch[];
  readonly allTags: boolean;
}

export interface SelectStatement extends WhereClause, Page {
  readonly kind: 'select';
  readonly columns: readonly Selected[];
  readonly from: readonly NameMatch[];
  /** As the statement names it; null: as the request does. */
  readonly database: string | null;
  readonly group: GroupClause;
  /** Null: nobody has said it. */
  readonly fill: InfluxFill | null;
  readonly isDescending: boolean;
  readonly seriesLimit?: number;
  readonly seriesOffset: number;
}

export interface ShowStatement extends WhereClause, Page {
  readonly kind: 'measurements' | 'tag-keys' | 'tag-values' | 'field-keys' | 'series';
  readonly database: string | null;
  /** Empty: all measurements. */
  readonly from: readonly NameMatch[];
  /** The keys whose values are asked for. */
  readonly keys: readonly NameMatch[];
}

export type InfluxStatement =
  | { readonly kind: 'databases' }
  | { readonly kind: 'retention-policies'; readonly database: string | null }
  | { readonly kind: 'create-database'; readonly name: string }
  | ShowStatement
  | SelectStatement;
