import type { ComponentProps, ReactElement, ReactNode } from 'react';
import { Menu as AriaMenu, MenuItem as AriaMenuItem, MenuTrigger, Popover, type MenuItemProps as AriaMenuItemProps } from 'react-aria-components';
import { classes } from './classes';
import styles from './Select.module.css';

export interface MenuProps {
  /** What opens it: a `Button` or an `IconButton`. */
  trigger: ReactElement;
  label: string;
  placement?: ComponentProps<typeof Popover>['placement'];
  onOpenChange?(isOpen: boolean): void;
  children: ReactNode;
}

/** Things that can be done, behind one button. */
export function Menu({ trigger, label, placement = 'bottom end', onOpenChange, children }: MenuProps) {
  return (
    <MenuTrigger onOpenChange={onOpenChange}>
      {trigger}
      <Popover className={styles.popover ?? ''} placement={placement} offset={4}>
        <AriaMenu className={styles.list ?? ''} aria-label={label}>
          {children}
        </AriaMenu>
      </Popover>
    </MenuTrigger>
  );
}

export interface MenuItemProps extends Omit<AriaMenuItemProps, 'className' | 'children' | 'textValue'> {
  label: string;
  icon?: ReactNode;
  danger?: boolean;
}

export function MenuItem({ label, icon, danger, ...props }: MenuItemProps) {
  return (
    <AriaMenuItem {...props} textValue={label} className={classes(styles.item, danger && styles.dangerous)}>
      {icon}
      <span>{label}</span>
    </AriaMenuItem>
  );
}
