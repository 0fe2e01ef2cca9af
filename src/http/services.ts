/** What the HTTP door asks of the flows. */
import type { AppendService } from '../flows/append/append-service.ts';
import type { StateService } from '../flows/close/seal-service.ts';
import type { RetentionService } from '../flows/compact/retention-service.ts';
import type { SpaceService } from '../flows/compact/space-service.ts';
import type { ImportService } from '../flows/import/import-service.ts';
import type { UploadService } from '../flows/import/upload-service.ts';
import type { ExportService } from '../flows/export/export-service.ts';
import type { LiveService } from '../flows/live/live-service.ts';
import type { HealthService } from '../flows/health-service.ts';
import type { InfluxqlService } from '../flows/influxql/influxql-service.ts';
import type { IngestService } from '../flows/ingest/ingest-service.ts';
import type { OverviewService } from '../flows/overview/overview-service.ts';
import type { AccessService } from '../flows/people/access-service.ts';
import type { SessionService } from '../flows/people/session-service.ts';
import type { ReadService } from '../flows/read/read-service.ts';
import type { MetadataService } from '../flows/series/metadata-service.ts';
import type { RecordingService } from '../flows/series/recording-service.ts';
import type { SavedSearchService } from '../flows/series/saved-search-service.ts';
import type { SeriesService } from '../flows/series/series-service.ts';
import type { SubjectService } from '../flows/series/subject-service.ts';
import type { TimeAxisService } from '../flows/series/time-axis-service.ts';
import type { ShareService } from '../flows/share/share-service.ts';
import type { TableService } from '../flows/table/table-service.ts';

export type SampleService = AppendService & ReadService & OverviewService & TableService;

/** Noun by noun: a route gets the part that it needs. `main/assemble` binds each to its flow. All of them throw VarveError. */
export interface Service {
  readonly access: AccessService;
  readonly sessions: SessionService;
  readonly shares: ShareService;
  readonly series: SeriesService;
  readonly savedSearches: SavedSearchService;
  readonly metadata: MetadataService;
  readonly subjects: SubjectService;
  readonly recordings: RecordingService;
  readonly imports: ImportService;
  readonly uploads: UploadService;
  readonly state: StateService;
  readonly samples: SampleService;
  readonly ingest: IngestService;
  readonly influxql: InfluxqlService;
  readonly timeAxis: TimeAxisService;
  readonly live: LiveService;
  readonly exports: ExportService;
  readonly retention: RetentionService;
  readonly space: SpaceService;
  readonly health: HealthService;
}
