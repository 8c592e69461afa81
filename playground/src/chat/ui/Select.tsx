import type { Key } from 'react-aria-components';
import { Button as AriaButton, FieldError, Label, ListBox, ListBoxItem, Popover, Select as AriaSelect, SelectValue, Text } from 'react-aria-components';
import { CheckIcon, ChevronDownIcon } from './icons';
import styles from './Select.module.css';
import field from './Field.module.css';

export interface SelectProps<Value extends string> {
  label: string;
  hint?: string;
  name?: string;
  options: readonly { value: Value; label: string }[];
  value: Value;
  onChange(value: Value): void;
  isDisabled?: boolean;
}

/** One of a few. */
export function Select<Value extends string>({ label, hint, options, value, onChange, ...props }: SelectProps<Value>) {
  return (
    <AriaSelect {...props} className={field.field ?? ''} value={value} onChange={(key: Key | null) => key !== null && onChange(key as Value)}>
      <Label className={field.label}>{label}</Label>
      <AriaButton className={styles.button ?? ''}>
        <SelectValue className={styles.value ?? ''} />
        <ChevronDownIcon />
      </AriaButton>
      {hint && (
        <Text slot="description" className={field.hint}>
          {hint}
        </Text>
      )}
      <FieldError className={field.error ?? ''} />
      <Popover className={styles.popover ?? ''} offset={4}>
        <ListBox className={styles.list ?? ''} items={options}>
          {(option) => (
            <ListBoxItem id={option.value} textValue={option.label} className={styles.item ?? ''}>
              {({ isSelected }) => (
                <>
                  <span>{option.label}</span>
                  {isSelected && <CheckIcon />}
                </>
              )}
            </ListBoxItem>
          )}
        </ListBox>
      </Popover>
    </AriaSelect>
  );
}
