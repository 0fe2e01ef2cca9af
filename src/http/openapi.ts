/** The OpenAPI 3.1 document, from the schemas the routes read and write with. */
import { createDocument, type ZodOpenApiPathsObject } from 'zod-openapi';
import { accessDescriptions } from './routes/access-routes.ts';
import { annotationDescriptions } from './routes/annotation-routes.ts';
import { timeAxisDescriptions } from './routes/time-axis-routes.ts';
import { appendManyDescriptions } from './routes/append-many-routes.ts';
import { bulkDescriptions } from './routes/bulk-routes.ts';
import { changesDescriptions } from './routes/changes-routes.ts';
import { docsDescriptions } from './routes/docs-routes.ts';
import { exportDescriptions } from './routes/export-routes.ts';
import { healthDescriptions } from './routes/health-routes.ts';
import { influxqlDescriptions } from './routes/influxql-routes.ts';
import { lineDescriptions } from './routes/line-routes.ts';
import { liveDescriptions } from './routes/live-routes.ts';
import { metadataDescriptions } from './routes/metadata-routes.ts';
import { queryDescriptions } from './routes/query-routes.ts';
import { importDescriptions } from './routes/import-routes.ts';
import { recordingDescriptions } from './routes/recording-routes.ts';
import { retentionDescriptions } from './routes/retention-routes.ts';
import { sampleDescriptions } from './routes/sample-routes.ts';
import { seriesDescriptions } from './routes/series-routes.ts';
import { sessionDescriptions } from './routes/session-routes.ts';
import { shareDescriptions } from './routes/share-routes.ts';
import { spaceDescriptions } from './routes/space-routes.ts';
import { subjectDescriptions } from './routes/subject-routes.ts';
import { stateDescriptions } from './routes/state-routes.ts';
import { trashDescriptions } from './routes/trash-routes.ts';
import { savedSearchDescriptions } from './routes/saved-search-routes.ts';
import { tagDescriptions } from './routes/tag-routes.ts';
import { uploadDescriptions } from './routes/upload-routes.ts';
import { vocabularyDescriptions } from './routes/vocabulary-routes.ts';
import { writeDescriptions } from './routes/write-routes.ts';

/** Every path, with its operations by method. */
export const PATHS: ZodOpenApiPathsObject = {
  ...seriesDescriptions,
  ...stateDescriptions,
  ...bulkDescriptions,
  ...metadataDescriptions,
  ...vocabularyDescriptions,
  ...subjectDescriptions,
  ...recordingDescriptions,
  ...importDescriptions,
  ...uploadDescriptions,
  ...tagDescriptions,
  ...trashDescriptions,
  ...savedSearchDescriptions,
  ...sampleDescriptions,
  ...appendManyDescriptions,
  ...lineDescriptions,
  ...influxqlDescriptions,
  ...liveDescriptions,
  ...changesDescriptions,
  ...queryDescriptions,
  ...timeAxisDescriptions,
  ...annotationDescriptions,
  ...writeDescriptions,
  ...exportDescriptions,
  ...spaceDescriptions,
  ...retentionDescriptions,
  ...accessDescriptions,
  ...sessionDescriptions,
  ...shareDescriptions,
  ...healthDescriptions,
  ...docsDescriptions,
};
/** What a reader should know before the first request. Its lines run against what `varve demo` records. */
const INTRODUCTION = `Varve keeps time series for laboratories: series with typed tags in Postgres, their samples in HDF5 files, one API over both.

## First steps

Every request but those for health and for this page needs a token: \`Authorization: Bearer <token>\`. **Authorize** above takes it. The first one is in the file
\`token\` of the service's data folder, which the service names when it is ready; \`POST /v1/tokens\` makes others. With the recordings of \`varve demo\`:

\`\`\`sh
T="Authorization: Bearer $(cat varve-data/token)"
U=http://127.0.0.1:7424/v1
curl -H "$T" "$U/series?tag.species=mouse"
curl -H "$T" "$U/series/by-name/demo/ecg/mouse-12/samples?rows=0:5&physical=true&format=csv"
curl -H "$T" "$U/series/by-name/demo/ecg/mouse-12/samples?points=10"
\`\`\`

1. \`POST /v1/series\` says what is recorded: a name, a number type, channels, a rate or none, tags.
2. \`POST /v1/series/{id}/samples\` appends rows, in any of the formats; with an \`Idempotency-Key\` a retry stores nothing twice. \`POST /v1/samples\` appends to many series by one commit.
3. \`GET /v1/series\` and \`POST /v1/series/search\` find series by their tags.
4. \`GET /v1/series/{id}/samples\` reads rows, overviews (\`points\`), aggregates (\`every\`) or the newest ones (\`latest\`); \`POST /v1/query\` reads many series as one table.

## What holds everywhere

- **Series** are named by id, or by name within a project: \`/v1/series/by-name/<name>?project=…\`. Without \`project\` the project is \`default\`.
- **Times** are RFC 3339 or integer nanoseconds since 1970-01-01T00:00:00Z. Ranges are half-open: \`[start, end)\`.
- **Formats** are chosen by \`Accept\` and \`Content-Type\`, or by \`?format=\`: JSON, NDJSON, CSV, \`.npy\`, octets, Arrow, and HDF5 on the way out. Integers past 2^53 are strings in JSON.
- **Pages** have a \`next\` link or a \`cursor\`; null is the last page.
- **Errors** are problem documents (RFC 9457): \`type\` is a stable name, \`detail\` says what is wrong, \`errors\` names each field. 503 has \`Retry-After\`.
- **Changes** honour \`If-Match\` with the \`ETag\` of an answer; answers honour \`If-None-Match\`.`;

export function openApiDocument(version: string): ReturnType<typeof createDocument> {
  return createDocument({
    openapi: '3.1.1',
    info: {
      title: 'Varve',
      version,
      description: INTRODUCTION,
    },
    servers: [{ url: '/' }],
    security: [{ token: [] }],
    tags: [
      { name: 'series', description: 'What is recorded, and how: metadata and tags' },
      {
        name: 'metadata',
        description: 'Changes of many series, what was changed, which tags there may be, and subjects',
      },
      { name: 'samples', description: 'The rows of a series' },
      { name: 'imports', description: 'Files of a lab, which become series on the server' },
      { name: 'agents', description: 'Line protocol, for clients of InfluxDB' },
      { name: 'live', description: 'What happens, as it happens' },
      { name: 'annotations', description: 'Points and intervals on the time line of a series' },
      { name: 'space', description: 'What samples take on the disk, and how long they are kept' },
      { name: 'access', description: 'Projects, tokens, sessions and links' },
      { name: 'health', description: 'For whoever runs the service' },
      { name: 'docs', description: 'This document' },
    ],
    paths: PATHS,
    components: {
      securitySchemes: { token: { type: 'http', scheme: 'bearer' }, password: { type: 'http', scheme: 'basic' } },
    },
  });
}
