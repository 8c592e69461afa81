import { useId, type ReactNode } from 'react';
import { Switch as AriaSwitch, type SwitchProps as AriaSwitchProps } from 'react-aria-components';
import styles from './Switch.module.css';

export interface SwitchProps extends Omit<AriaSwitchProps, 'className' | 'children'> {
  label: string;
  /** What it means when it is on. */
  hint?: ReactNode;
}

export function Switch({ label, hint, ...props }: SwitchProps) {
  const hintId = useId();
  return (
    <div className={styles.field}>
      <AriaSwitch {...props} aria-describedby={hint ? hintId : undefined} className={styles.switch ?? ''}>
        <span className={styles.label}>{label}</span>
        <span className={styles.track}>
          <span className={styles.knob} />
        </span>
      </AriaSwitch>
      {hint && (
        <p id={hintId} className={styles.hint}>
          {hint}
        </p>
      )}
    </div>
  );
}
