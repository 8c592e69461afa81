import type { ReactNode } from 'react';
import { Button as AriaButton, Link, Tooltip, TooltipTrigger, type ButtonProps as AriaButtonProps, type LinkProps } from 'react-aria-components';
import { classes } from './classes';
import { Spinner } from './Spinner';
import styles from './Button.module.css';

export type Kind = 'primary' | 'plain' | 'quiet' | 'danger';

export interface ButtonProps extends Omit<AriaButtonProps, 'className' | 'children'> {
  /** One primary button to a screen; `quiet` beside it; `danger` where something ends. */
  kind?: Kind;
  className?: string;
  children: ReactNode;
}

/** While `isPending` it keeps the focus and its size, and cannot be pressed again. */
export function Button({ kind = 'plain', className, children, isPending, ...props }: ButtonProps) {
  return (
    <AriaButton {...props} {...waiting(isPending)} className={classes(styles.button, styles[kind], isPending && styles.pending, className)}>
      <span className={styles.content}>{children}</span>
      {isPending && <Working />}
    </AriaButton>
  );
}

export interface IconButtonProps extends Omit<AriaButtonProps, 'className' | 'children' | 'aria-label'> {
  /** What it does: read aloud, and shown as a tooltip. */
  label: string;
  kind?: Kind;
  className?: string;
  children: ReactNode;
}

/** A button that is only a picture. */
export function IconButton({ label, kind = 'quiet', className, children, isPending, ...props }: IconButtonProps) {
  return (
    <TooltipTrigger delay={600} closeDelay={100}>
      <AriaButton
        {...props}
        {...waiting(isPending)}
        aria-label={label}
        className={classes(styles.button, styles[kind], styles.icon, isPending && styles.pending, className)}
      >
        <span className={styles.content}>{children}</span>
        {isPending && <Working />}
      </AriaButton>
      <Tooltip className={styles.tooltip ?? ''} offset={6}>
        {label}
      </Tooltip>
    </TooltipTrigger>
  );
}

export interface ButtonLinkProps extends Omit<LinkProps, 'className' | 'children'> {
  kind?: Kind;
  className?: string;
  children: ReactNode;
}

/** A link that looks like a button: it goes somewhere. */
export function ButtonLink({ kind = 'plain', className, children, ...props }: ButtonLinkProps) {
  return (
    <Link {...props} className={classes(styles.button, styles[kind], className)}>
      <span className={styles.content}>{children}</span>
    </Link>
  );
}

// The library's own `isPending` announces by a name that is gone when the button is, as it often is when all is done.
const waiting = (isPending: boolean | undefined): Partial<AriaButtonProps> =>
  isPending ? { 'aria-disabled': true, onPress: undefined, type: 'button' } : {};

const Working = () => (
  <span className={styles.working}>
    <Spinner />
  </span>
);
