/** Provenance on the wire: open to any key; those that are known have a shape. */
import { z } from 'zod';
import { MAX_PROVENANCE_BYTES } from '../../core/signal/series.ts';
import { fitsBytes, name, uuid } from './scalars.ts';

const MAX_TEXT_CHARS = 4096;
const MAX_SOFTWARE = 100;
const MAX_DERIVED_FROM = 100;

const text = z.string().min(1).max(MAX_TEXT_CHARS);

const instrument = z
  .union(
    [
      text,
      z.looseObject({
        make: text.optional().meta({ description: 'Who makes it' }),
        model: text.optional().meta({ description: 'Its type' }),
        serial: text.optional().meta({ description: 'Which one it is' }),
        firmware: text.optional().meta({ description: 'The version of its program' }),
      }),
    ],
    { error: 'must be a text, or an object with make, model, serial, firmware and whatever else' },
  )
  .meta({ description: 'What it was recorded with' });

const program = z.looseObject({
  name: text.meta({ description: 'What the program is called' }),
  version: text.optional().meta({ description: 'Which version it was' }),
});

const software = z
  .union([text, program, z.array(program).min(1).max(MAX_SOFTWARE)], {
    error: `must be a text, an object with name and version, or a list of 1 to ${MAX_SOFTWARE} such objects`,
  })
  .meta({ description: 'What recorded or computed it' });

const seriesId = uuid.toLowerCase();

const derivedFrom = z
  .array(
    z.union(
      [
        seriesId,
        z.looseObject({
          series: seriesId.meta({ description: 'Id of a series it is made from' }),
          commit: z.int().min(0).optional().meta({ description: 'As of which commit of its samples' }),
          note: text.optional().meta({ description: 'How it is made from it' }),
        }),
      ],
      { error: 'must be the id of a series, or an object with series, commit and note' },
    ),
  )
  .max(MAX_DERIVED_FROM)
  .meta({ description: 'The series that it is made from; they need not be here' });

const source = z
  .looseObject({
    file: text.optional().meta({ description: 'Its name' }),
    sha256: z
      .string()
      .regex(/^[0-9a-f]{64}$/i, 'must be 64 hexadecimal digits')
      .optional()
      .meta({ description: 'Hash of its bytes' }),
    bytes: z.int().min(0).optional().meta({ description: 'Its length' }),
    url: z.url().max(MAX_TEXT_CHARS).optional().meta({ description: 'Where it is from' }),
  })
  .meta({ description: 'The file that it comes from' });

const KNOWN = {
  instrument,
  software,
  operator: text.meta({ description: 'Who recorded it' }),
  protocol: text.meta({ description: 'By which procedure, best as a DOI' }),
  subject: name.meta({ description: 'An identifier; what is personal is at /v1/projects/{project}/subjects/{id}' }),
  sample: text.meta({ description: 'What was measured: a slice, a culture, a specimen' }),
  source,
  importer: text.meta({ description: 'The program that brought it in' }),
  derived_from: derivedFrom,
};

const TOO_LARGE = `must have at most ${MAX_PROVENANCE_BYTES} bytes of JSON`;

export const provenance = z
  .looseObject(KNOWN)
  .partial()
  .refine((value) => fitsBytes(value, MAX_PROVENANCE_BYTES), TOO_LARGE)
  .meta({
    id: 'Provenance',
    description: 'Where it comes from. Any key may be given; these have a shape',
    example: {
      instrument: { make: 'Intan', model: 'RHD2000', serial: 'C3124', firmware: '2.1' },
      software: [{ name: 'Open Ephys', version: '0.6.7' }],
      operator: 'jd',
      protocol: 'doi:10.17504/protocols.io.bazsif6e',
      subject: 'm-12',
      sample: 'slice 3',
      source: { file: 'session-12.rhd', sha256: 'a3'.repeat(32), bytes: 73_400_320 },
      derived_from: [{ series: '0198c5e0-0000-7000-8000-000000000001', commit: 17, note: 'band-passed' }],
      rig: 4,
    },
  });

/** Keys are replaced as a whole; null removes one. */
export const provenancePatch = z
  .looseObject(
    Object.fromEntries(
      Object.entries(KNOWN).map(([key, shape]) => [
        key,
        shape.nullish().meta({ description: `${shape.description}; null removes it` }),
      ]),
    ),
  )
  .refine((value) => fitsBytes(value, MAX_PROVENANCE_BYTES), TOO_LARGE)
  .meta({
    description: 'As Provenance, key by key: what is given replaces the whole key, null removes it, the rest stays',
    example: { operator: 'ab', sample: null },
  });
