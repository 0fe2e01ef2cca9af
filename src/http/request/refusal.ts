/** What HTTP alone knows to be wrong with a request, before anybody looks at what it asks for. */
import type { FieldError } from '../../core/errors.ts';

/** A refusal with the status that RFC 9110 and its kin have for it. */
export class HttpRefusal extends Error {
  override readonly name = 'HttpRefusal';
  readonly status: number;
  readonly slug: string;
  readonly title: string;
  readonly errors: readonly FieldError[];

  constructor(status: number, slug: string, title: string, detail: string, errors: readonly FieldError[] = []) {
    super(detail);
    this.status = status;
    this.slug = slug;
    this.title = title;
    this.errors = errors;
  }
}

/** A refusal that is the fault of a header. */
export function refusedHeader(
  status: number,
  slug: string,
  title: string,
  header: string,
  message: string,
): HttpRefusal {
  return new HttpRefusal(status, slug, title, `${header}: ${message}`, [{ field: header, message }]);
}
