import { useLayoutEffect, useMemo, useRef, useState, type FormEvent, type ReactNode } from 'react';
import { Form as AriaForm } from 'react-aria-components';
import { Notice } from './Notice';
import { classes } from './classes';
import styles from './Form.module.css';

/** Why a form was refused. `field` is the name of the field at fault; without one, or with one that the form has not, it
 *  is said above the buttons. A `userErrors` entry of the schema fits too: the last part of its path is the name. */
export interface FormError {
  field?: string | readonly string[] | null;
  message: string;
}

export interface FormProps {
  errors?: readonly FormError[];
  /** Gets what was filled in, by the names of the fields; `reset` makes them what they were at first. */
  onSubmit(values: Record<string, string>, reset: () => void): void;
  children: ReactNode;
  /** The buttons, below the errors that belong to no field. */
  actions?: ReactNode;
  'aria-label'?: string;
  className?: string;
}

const NONE: readonly FormError[] = [];

export function Form({ errors = NONE, onSubmit, children, actions, className, ...props }: FormProps) {
  const form = useRef<HTMLFormElement>(null);
  const [loose, setLoose] = useState<string[]>([]);
  // What was said of a field goes when somebody types there. The library waits until the field is left: by then the press
  // on the button below has begun, and the button must not move away from it.
  const [mended, setMended] = useState<readonly string[]>([]);
  const standing = useMemo(() => errors.filter((error) => !mended.includes(nameOf(error))), [errors, mended]);

  useLayoutEffect(() => {
    setMended([]);
    const has = (name: string) => form.current?.elements.namedItem(name) != null;
    setLoose(errors.filter((error) => !has(nameOf(error))).map(({ message }) => message));
    form.current?.querySelector<HTMLElement>('[aria-invalid="true"]')?.focus();
  }, [errors]);

  function mend({ target }: FormEvent<HTMLElement>) {
    const { name } = target as HTMLInputElement;
    if (name && !mended.includes(name)) setMended([...mended, name]);
  }

  function submit(event: FormEvent<HTMLFormElement>) {
    event.preventDefault();
    const target = event.currentTarget;
    const values = [...new FormData(target)].map(([name, value]) => [name, String(value)]);
    onSubmit(Object.fromEntries(values), () => target.reset());
  }

  const fields = useMemo(() => byField(standing), [standing]);

  return (
    // The server judges what was filled in, in its own words; the browser's would come before them in another language.
    <AriaForm
      {...props}
      ref={form}
      className={classes(styles.form, className)}
      validationBehavior="aria"
      validationErrors={fields}
      onSubmit={submit}
    >
      <div className={styles.form} onInput={mend}>
        {children}
      </div>
      {loose.length > 0 && (
        <Notice kind="danger">
          {loose.map((message) => (
            <p key={message}>{message}</p>
          ))}
        </Notice>
      )}
      {actions && <div className={styles.actions}>{actions}</div>}
    </AriaForm>
  );
}

const nameOf = ({ field }: FormError) => (typeof field === 'string' ? field : (field?.at(-1) ?? ''));

function byField(errors: readonly FormError[]) {
  const fields: Record<string, string[]> = {};
  for (const error of errors) (fields[nameOf(error)] ??= []).push(error.message);
  return fields;
}
