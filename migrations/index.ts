/** All migrations in order. A map rather than a folder read at run time, so a build contains what it needs. */
import type { Migration } from 'kysely';
import { foundation } from './0001_foundation.ts';
import { shardLife } from './0002_shard_life.ts';
import { search } from './0003_search.ts';
import { metadata } from './0004_metadata.ts';
import { fasterTags } from './0005_faster_tags.ts';
import { channelsView } from './0006_channels_view.ts';
import { fullMetadata } from './0007_full_metadata.ts';
import { sealedSeries } from './0008_sealed_series.ts';
import { subjects } from './0009_subjects.ts';
import { tokens } from './0010_tokens.ts';
import { exactUnits } from './0011_exact_units.ts';
import { names } from './0012_names.ts';
import { writtenOnce } from './0020_written_once.ts';
import { segmentsInAnyOrder } from './0021_segments_in_any_order.ts';
import { exactStatistics } from './0022_exact_statistics.ts';
import { checkedWhenDamaged } from './0023_checked_when_damaged.ts';
import { sources } from './0024_sources.ts';
import { doors } from './0031_doors.ts';
import { recordings } from './0040_recordings.ts';
import { exportsMade } from './0050_exports.ts';

export const migrations: Record<string, Migration> = {
  '0001_foundation': foundation,
  '0002_shard_life': shardLife,
  '0003_search': search,
  '0004_metadata': metadata,
  '0005_faster_tags': fasterTags,
  '0006_channels_view': channelsView,
  '0007_full_metadata': fullMetadata,
  '0008_sealed_series': sealedSeries,
  '0009_subjects': subjects,
  '0010_tokens': tokens,
  '0011_exact_units': exactUnits,
  '0012_names': names,
  '0020_written_once': writtenOnce,
  '0021_segments_in_any_order': segmentsInAnyOrder,
  '0022_exact_statistics': exactStatistics,
  '0023_checked_when_damaged': checkedWhenDamaged,
  '0024_sources': sources,
  '0031_doors': doors,
  '0040_recordings': recordings,
  '0050_exports': exportsMade,
};
