/** The OpenAPI 3.1 document, from the schemas the routes read and write with. */
import { createDocument, type ZodOpenApiPathsObject } from 'zod-openapi';
import { accessDescriptions } from './access-routes.ts';
import { annotationDescriptions } from './annotation-routes.ts';
import { bulkDescriptions } from './bulk-routes.ts';
import { docsDescriptions } from './docs-routes.ts';
import { healthDescriptions } from './health-routes.ts';
import { metadataDescriptions } from './metadata-routes.ts';
import { queryDescriptions } from './query-routes.ts';
import { retentionDescriptions } from './retention-routes.ts';
import { sampleDescriptions } from './sample-routes.ts';
import { seriesDescriptions } from './series-routes.ts';
import { spaceDescriptions } from './space-routes.ts';
import { subjectDescriptions } from './subject-routes.ts';
import { stateDescriptions } from './state-routes.ts';
import { tagDescriptions } from './tag-routes.ts';
import { vocabularyDescriptions } from './vocabulary-routes.ts';
import { writeDescriptions } from './write-routes.ts';

/** Every path, with its operations by method. */
export const PATHS: ZodOpenApiPathsObject = {
  ...seriesDescriptions,
  ...stateDescriptions,
  ...bulkDescriptions,
  ...metadataDescriptions,
  ...vocabularyDescriptions,
  ...subjectDescriptions,
  ...tagDescriptions,
  ...sampleDescriptions,
  ...queryDescriptions,
  ...annotationDescriptions,
  ...writeDescriptions,
  ...spaceDescriptions,
  ...retentionDescriptions,
  ...accessDescriptions,
  ...healthDescriptions,
  ...docsDescriptions,
};

export function openApiDocument(version: string): ReturnType<typeof createDocument> {
  return createDocument({
    openapi: '3.1.1',
    info: {
      title: 'Varve',
      version,
      description: `Time series for laboratories. Times are RFC 3339 or integer nanoseconds UTC, ranges are half-open
\`[start, end)\`, and every error is a problem document (RFC 9457) that names the wrong fields.`,
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
      { name: 'annotations', description: 'Points and intervals on the time line of a series' },
      { name: 'space', description: 'What samples take on the disk, and how long they are kept' },
      { name: 'access', description: 'Projects and tokens' },
      { name: 'health', description: 'For whoever runs the service' },
      { name: 'docs', description: 'This document' },
    ],
    paths: PATHS,
    components: { securitySchemes: { token: { type: 'http', scheme: 'bearer' } } },
  });
}
