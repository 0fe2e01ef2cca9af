/** Channels on the wire. */
import { z } from 'zod';
import { nameKey } from '../../core/same-name.ts';
import type { Channel } from '../../core/signal/series.ts';
import { float, freeObject, unit } from './scalars.ts';

const MAX_CHANNELS = 65_536;
const MAX_LABEL_CHARS = 200;
/** Longest text about a channel. */
const MAX_CHANNEL_TEXT = 500;

const label = z
  .string()
  .min(1)
  .max(MAX_LABEL_CHARS)
  .refine((text) => !/\p{Cc}/u.test(text), 'must have no control characters')
  .refine((text) => text.trim() === text, 'must not start or end with a space');
export const scale = float(z.number().refine((value) => value !== 0, 'must not be 0'));
const channelText = z.string().min(1).max(MAX_CHANNEL_TEXT);

const aboutChannel = {
  digital_min: float(z.number())
    .optional()
    .meta({ description: 'Smallest value that the converter gives, as stored', example: -2048 }),
  digital_max: float(z.number())
    .optional()
    .meta({ description: 'The other end of the range of the converter', example: 2047 }),
  physical_min: float(z.number()).optional().meta({
    description:
      'What digital_min and digital_max stand for, as EDF says it: a calibration of its own, in place of scale, offset and gain',
    example: -192,
  }),
  physical_max: float(z.number())
    .optional()
    .meta({ description: 'What digital_max stands for, in the unit', example: 192 }),
  location: channelText.optional().meta({ description: 'Where it was taken', example: 'V1, layer 4' }),
  group: channelText.optional().meta({ description: 'What it belongs to', example: 'shank 2' }),
  filtering: channelText
    .optional()
    .meta({ description: 'As the amplifier applied it', example: 'HP:0.1Hz LP:75Hz N:50Hz' }),
  reference: channelText.optional().meta({ description: 'What it was taken against', example: 'A1' }),
  impedance_ohm: float(z.number().min(0)).optional().meta({ description: 'Impedance of the electrode, in ohms' }),
  bad: z.boolean().optional().meta({ description: 'true: not to be used' }),
};

const channel = z
  .strictObject({
    label: label.optional().meta({ description: 'Default: ch0, ch1, …; of a single channel: value' }),
    unit: unit.optional().meta({ description: 'UCUM code, or any text; default: that of the series' }),
    scale: scale.optional().meta({ description: 'physical = raw × scale + offset; default: that of the series' }),
    offset: float(z.number()).optional().meta({ description: 'See scale' }),
    gain: scale
      .optional()
      .meta({ description: 'Stored steps per physical unit, as WFDB says it: physical = (raw − baseline) / gain' }),
    baseline: float(z.number()).optional().meta({ description: 'The stored value that stands for 0; needs gain' }),
    ...aboutChannel,
    info: freeObject.optional().meta({ description: 'Anything else' }),
  })
  .refine((given) => given.gain === undefined || (given.scale === undefined && given.offset === undefined), {
    path: ['gain'],
    message: 'excludes scale and offset',
  })
  .refine((given) => given.baseline === undefined || given.gain !== undefined, {
    path: ['baseline'],
    message: 'needs gain',
  })
  .superRefine((given, context) => {
    for (const [field, message] of rangeFaults(given)) context.addIssue({ code: 'custom', path: [field], message });
  })
  .meta({ id: 'NewChannel', description: 'What one column of the values is' });

type Ranges = Pick<
  Channel,
  'digital_min' | 'digital_max' | 'physical_min' | 'physical_max' | 'scale' | 'offset' | 'gain'
>;

function rangeFaults(given: Ranges): (readonly [field: string, message: string])[] {
  const { digital_min, digital_max, physical_min, physical_max } = given;
  if ((digital_min === undefined) !== (digital_max === undefined)) {
    return [[digital_min === undefined ? 'digital_min' : 'digital_max', 'belongs to the other end of the range']];
  }
  if ((physical_min === undefined) !== (physical_max === undefined)) {
    return [[physical_min === undefined ? 'physical_min' : 'physical_max', 'belongs to the other end of the range']];
  }
  if (digital_min !== undefined && digital_min >= digital_max!) return [['digital_max', 'must be above digital_min']];
  if (physical_min === undefined) return [];
  if (physical_min === physical_max) return [['physical_max', 'must not be physical_min']];
  if (digital_min === undefined) return [['physical_min', 'needs digital_min and digital_max']];
  const excluded = (['scale', 'offset', 'gain'] as const).filter((each) => given[each] !== undefined);
  return excluded.map((each) => [each, 'does not go with physical_min and physical_max'] as const);
}

export const channelList = z
  .array(channel)
  .min(1)
  .max(MAX_CHANNELS)
  .superRefine((list, context) => {
    const seen = new Map<string, number>();
    labelsOf(list).forEach((text, at) => {
      const before = seen.get(nameKey(text));
      if (before !== undefined) {
        const message = `is the label of channel ${before}, too`;
        context.addIssue({ code: 'custom', path: [at, 'label'], message });
      }
      seen.set(nameKey(text), at);
    });
  });

export const channels = z.union([z.int().min(1).max(MAX_CHANNELS), channelList], {
  error: `must be a count from 1 to ${MAX_CHANNELS} or a list of channels`,
});

type UnlabelledChannel = Omit<Channel, 'label'> & { readonly label?: string };

function labelsOf(list: readonly UnlabelledChannel[]): string[] {
  return list.map((given, at) => labelOf(given, at, list.length));
}

function labelOf({ label }: UnlabelledChannel, at: number, count: number): string {
  return label ?? (count === 1 ? 'value' : `ch${at}`);
}

export function labelled(list: readonly UnlabelledChannel[]): Channel[] {
  return list.map((given, at) => ({ ...given, label: labelOf(given, at, list.length) }));
}

export const channelAnswer = z
  .object({
    label: z.string().meta({ description: 'Unique within the series' }),
    unit: z.string().optional().meta({ description: 'If it is not that of the series' }),
    scale: z.number().optional().meta({ description: 'physical = raw × scale + offset, if not as the series says' }),
    offset: z.number().optional().meta({ description: 'See scale' }),
    gain: z.number().optional().meta({ description: 'physical = (raw − baseline) / gain' }),
    baseline: z.number().optional().meta({ description: 'See gain' }),
    ...aboutChannel,
    info: z.record(z.string(), z.unknown()).optional().meta({ description: 'Anything else, as it was given' }),
  })
  .meta({ id: 'Channel', description: 'What one column of the values is' });
