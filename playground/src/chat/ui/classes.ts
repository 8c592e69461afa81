/** The names that are there, as one. */
export const classes = (...names: (string | false | null | undefined)[]) => names.filter(Boolean).join(' ');
