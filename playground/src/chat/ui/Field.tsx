import { useState, type ReactNode, type Ref } from 'react';
import { FieldError, Group, Input, Label, SearchField as AriaSearchField, Text, TextArea as AriaTextArea, TextField as AriaTextField, Button as AriaButton, type SearchFieldProps as AriaSearchFieldProps, type TextFieldProps as AriaTextFieldProps } from 'react-aria-components';
import { IconButton } from './Button';
import { classes } from './classes';
import { CloseIcon, EyeIcon, EyeOffIcon, SearchIcon } from './icons';
import styles from './Field.module.css';

export interface FieldProps extends Omit<AriaTextFieldProps, 'className' | 'children'> {
  label: string;
  /** A sentence below, before anything is wrong. */
  hint?: ReactNode;
  /** The label is only read aloud. */
  hideLabel?: boolean;
  placeholder?: string;
  /** `none` where a phone should not begin with a capital letter. */
  autoCapitalize?: 'none';
  className?: string;
}

/** One line of text. In a `Form`, the errors of `name` are shown below it. */
export function TextField({ inputRef, ...props }: FieldProps & { inputRef?: Ref<HTMLInputElement> }) {
  return (
    <Field {...props}>
      <Input ref={inputRef} className={styles.input ?? ''} placeholder={props.placeholder} autoCapitalize={props.autoCapitalize} />
    </Field>
  );
}

/** Several lines of text, which grow with what is written. */
export function TextArea({ rows = 3, ...props }: FieldProps & { rows?: number }) {
  return (
    <Field {...props}>
      <AriaTextArea className={classes(styles.input, styles.area)} rows={rows} placeholder={props.placeholder} />
    </Field>
  );
}

/** A password, which can be looked at. */
export function PasswordField({ inputRef, ...props }: FieldProps & { inputRef?: Ref<HTMLInputElement> }) {
  const [revealed, setRevealed] = useState(false);
  return (
    <Field {...props} type={revealed ? 'text' : 'password'} spellCheck="false">
      <Group className={classes(styles.input, styles.group)}>
        <Input ref={inputRef} className={styles.bare ?? ''} placeholder={props.placeholder} autoCapitalize="none" autoCorrect="off" />
        <IconButton
          label={revealed ? 'Hide password' : 'Show password'}
          onPress={() => setRevealed(!revealed)}
          isDisabled={props.isDisabled}
        >
          {revealed ? <EyeOffIcon /> : <EyeIcon />}
        </IconButton>
      </Group>
    </Field>
  );
}

export interface SearchFieldProps extends Omit<AriaSearchFieldProps, 'className' | 'children'> {
  label: string;
  placeholder?: string;
  autoCapitalize?: 'none';
  className?: string;
}

/** What to look for; Escape clears it. The label is only read aloud. */
export function SearchField({ label, placeholder, autoCapitalize, className, ...props }: SearchFieldProps) {
  return (
    <AriaSearchField {...props} aria-label={label} className={classes(styles.search, className)}>
      {({ isEmpty }) => (
        <Group className={classes(styles.input, styles.group)}>
          <span className={styles.lens}>
            <SearchIcon />
          </span>
          <Input className={styles.bare ?? ''} placeholder={placeholder} autoCapitalize={autoCapitalize} />
          {!isEmpty && (
            <AriaButton className={styles.clear ?? ''} aria-label="Clear">
              <CloseIcon />
            </AriaButton>
          )}
        </Group>
      )}
    </AriaSearchField>
  );
}

function Field({ label, hint, hideLabel, className, placeholder: _placeholder, autoCapitalize: _autoCapitalize, children, ...props }: FieldProps & { children: ReactNode }) {
  return (
    <AriaTextField {...props} aria-label={hideLabel ? label : undefined} className={classes(styles.field, className)}>
      {!hideLabel && (
        <Label className={styles.label}>
          {label}
          {props.isRequired === false && <span className={styles.optional}> optional</span>}
        </Label>
      )}
      {children}
      {hint && (
        <Text slot="description" className={styles.hint}>
          {hint}
        </Text>
      )}
      <FieldError className={styles.error ?? ''} />
    </AriaTextField>
  );
}
