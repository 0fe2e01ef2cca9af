/** Recordings on the wire. */
import { z } from 'zod';
import type { RecordingWish } from '../../core/signal/series.ts';
import type { StoredRecording } from '../../flows/series/recording-service.ts';
import { bodyTime, instant, name, queryInteger, timeOrNull, uuid } from './scalars.ts';

/** Files of one recording that are named. */
const MAX_SOURCE_FILES = 1000;
/** Recordings of one page. */
const MAX_RECORDINGS = 1000;
const DEFAULT_RECORDINGS = 100;

const fileName = z.string().min(1).max(512);
const SHA256 = /^[0-9a-f]{64}$/;
const sha256 = z.string().regex(SHA256, 'must be 64 hexadecimal digits in lower case');

export const recordingSource = z
  .strictObject({
    file: fileName.meta({ description: 'Name of the file' }),
    sha256: sha256.meta({ description: 'SHA-256 of its bytes; of several files, of all of them one after the other' }),
    files: z.array(fileName).max(MAX_SOURCE_FILES).optional().meta({ description: 'Those several, in that order' }),
  })
  .meta({ id: 'RecordingSource', description: 'A file that a recording was made from' });

/** What a new series may say of its recording. */
export const recordingWish = z.union(
  [
    z.strictObject({ id: uuid.meta({ description: 'Id of a recording that is there' }) }),
    z.strictObject({
      name: name.meta({ description: 'Name of the recording, unique in the project; it is made if it is not there' }),
      source: recordingSource.optional().meta({
        description: 'What it is made from. A recording of that name that came from another file is a 409',
      }),
      start: bodyTime.optional().meta({ description: 'When it began' }),
    }),
  ],
  { error: 'must be {"id": …} of a recording, or {"name": …} with source and start if wanted' },
);

export function toRecordingWish(body: z.output<typeof recordingWish>): RecordingWish {
  if ('id' in body) return body;
  return { name: body.name, source: body.source ?? null, startNs: body.start ?? null };
}

export const recordingsQuery = z.strictObject({
  project: z.string().optional().meta({ description: 'Only recordings of this project' }),
  name: z.string().optional().meta({ description: 'Only the recording of exactly this name' }),
  q: z.string().max(512).optional().meta({ description: 'A part of the name, in any case' }),
  sha256: sha256.optional().meta({ description: 'Only recordings that were made from this file' }),
  limit: queryInteger(1, MAX_RECORDINGS, `Recordings of a page; default ${DEFAULT_RECORDINGS}`).default(
    DEFAULT_RECORDINGS,
  ),
  cursor: z.string().optional().meta({ description: 'From the link to the next page' }),
});

/** Where a page ended. */
export const recordingPosition = uuid;

export const recordingPatch = z
  .strictObject({
    name: name.optional().meta({ description: 'A new name, unique in the project' }),
    add_source: recordingSource.optional().meta({ description: 'One more file that was added to it' }),
  })
  .meta({
    id: 'RecordingPatch',
    description: 'What is to be changed; what is not named stays',
    example: { name: 'mouse-12, 1 May' },
  });

export const recordingAnswer = z
  .object({
    id: uuid.meta({ description: 'Stays, whatever else changes' }),
    project: z.string().meta({ description: 'The project that it belongs to' }),
    name: z.string().meta({ description: 'Unique in the project' }),
    sources: z.array(recordingSource).meta({ description: 'Files that it was made from, in the order they came' }),
    start: instant.nullable().meta({ description: 'When it began; null: nobody has said it' }),
    series: z.int().meta({ description: 'Series that it has' }),
    created_at: instant.meta({ description: 'When it was made' }),
    updated_at: instant.meta({ description: 'When its name or its files were changed last' }),
  })
  .meta({
    id: 'Recording',
    description: 'Series that were taken together',
    example: {
      id: '0198c5e0-0000-7000-8000-000000000002',
      project: 'default',
      name: 'mouse-12',
      sources: [{ file: 'mouse-12.edf', sha256: 'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855' }],
      start: '2026-05-01T09:00:00Z',
      series: 3,
      created_at: '2026-05-02T08:00:00Z',
      updated_at: '2026-05-02T08:00:00Z',
    },
  });

export const recordingPage = z
  .object({
    items: z.array(recordingAnswer).meta({ description: 'Newest first' }),
    next: z.string().nullable().meta({ description: 'Link to the next page; null on the last' }),
  })
  .meta({ id: 'RecordingPage', description: 'A part of the recordings' });

/** What is told of a change to who may not read. */
export const recordingReceipt = z
  .object({ id: uuid.meta({ description: 'Id of the recording' }) })
  .meta({ id: 'RecordingReceipt', description: 'What a token that may not read is told of a change' });

export function toRecordingAnswer(recording: StoredRecording): z.input<typeof recordingAnswer> {
  return {
    id: recording.id,
    project: recording.project,
    name: recording.name,
    sources: recording.sources.map(({ files, ...source }) => ({ ...source, ...(files && { files: [...files] }) })),
    start: timeOrNull(recording.startNs),
    series: recording.series,
    created_at: recording.createdAt.toISOString(),
    updated_at: recording.updatedAt.toISOString(),
  };
}
