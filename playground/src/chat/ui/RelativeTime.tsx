import { useSyncExternalStore } from 'react';

/** How long ago, or how long until; it goes on by itself. The exact time is in its tooltip. */
export function RelativeTime({ at }: { at: string }) {
  useSyncExternalStore(subscribe, minute);
  const time = Date.parse(at);
  return (
    <time dateTime={at} title={exact.format(time)}>
      {relativeTime(time, Date.now())}
    </time>
  );
}

/** The day and the time in full. */
export const exactTime = (at: string) => exact.format(Date.parse(at));

export const dayInFull = (at: string) => inFull.format(Date.parse(at));

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

// The page speaks English, so its times do, too.
const relative = new Intl.RelativeTimeFormat('en-GB', { numeric: 'auto' });
const exact = new Intl.DateTimeFormat('en-GB', { dateStyle: 'full', timeStyle: 'short' });
const inFull = new Intl.DateTimeFormat('en-GB', { dateStyle: 'long' });
const day = new Intl.DateTimeFormat('en-GB', { day: 'numeric', month: 'short' });
const dayOfYear = new Intl.DateTimeFormat('en-GB', { day: 'numeric', month: 'short', year: 'numeric' });

export function relativeTime(time: number, now: number) {
  const distance = time - now;
  const size = Math.abs(distance);
  if (size < MINUTE) return distance > 0 ? 'in a moment' : 'just now';
  if (size < HOUR) return relative.format(Math.trunc(distance / MINUTE), 'minute');
  if (size < DAY) return relative.format(Math.trunc(distance / HOUR), 'hour');
  const days = Math.round((startOfDay(time) - startOfDay(now)) / DAY);
  if (Math.abs(days) <= 31) return relative.format(days, 'day');
  return (new Date(time).getFullYear() === new Date(now).getFullYear() ? day : dayOfYear).format(time);
}

const startOfDay = (time: number) => new Date(time).setHours(0, 0, 0, 0);

// One clock for all of them, which runs while somebody looks at it.
const listeners = new Set<() => void>();
let clock: ReturnType<typeof setInterval> | undefined;
const minute = () => Math.floor(Date.now() / MINUTE);

function subscribe(listener: () => void) {
  listeners.add(listener);
  clock ??= setInterval(() => listeners.forEach((tell) => tell()), 15_000);
  return () => {
    listeners.delete(listener);
    if (listeners.size > 0) return;
    clearInterval(clock);
    clock = undefined;
  };
}
