/** A link to another view: a real one, which opens in a new tab, too, and loads nothing anew. */
import type { ComponentChildren } from 'preact';
import type { UrlChanges, UrlState } from './url-state.ts';

interface LinkProps {
  readonly url: UrlState;
  readonly to: UrlChanges;
  readonly class?: string;
  readonly label?: string;
  readonly current?: boolean;
  readonly children: ComponentChildren;
}

export function Link({ url, to, class: name, label, current, children }: LinkProps) {
  return (
    <a
      href={url.href(to)}
      class={name}
      aria-label={label}
      aria-current={current ? 'page' : undefined}
      onClick={(event) => {
        if (event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
        event.preventDefault();
        url.open(to);
        window.scrollTo(0, 0);
      }}
    >
      {children}
    </a>
  );
}
