/** Lines that agents send. */
import type { LineFault, Precision } from '../../formats/line-protocol/line-parser.ts';
import type { BodyRequest } from '../append/receive-body.ts';
import type { Principal } from '../principal.ts';

export interface LinesRequest extends Pick<BodyRequest, 'body' | 'declaredBytes'> {
  readonly principal: Principal;
  readonly project: string;
  readonly precision: Precision;
}

/** Lines of which nothing was stored, in all and the first of them; all others are durable and readable. */
export interface LinesOutcome {
  readonly refused: number;
  readonly first: readonly LineFault[];
}

export interface IngestService {
  /** @throws forbidden for a project out of reach; not-found `project-unknown` */
  lines(request: LinesRequest): Promise<LinesOutcome>;
}
