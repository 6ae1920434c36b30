/**
 * Users, roles and permissions (etcd 3.4, auth/store.go). Everything is in memory and in the tables; every change
 * goes to both, in a job of the commit queue. The user `root` with the role `root` may do everything.
 */

import { refusal } from '../errors.ts';
import { compareKeys, keyText } from '../kv/range.ts';
import type { Database } from '../sqlite/database.ts';
import { into } from '../sqlite/schema.ts';
import type { Tables } from '../sqlite/tables.ts';
import type { PasswordHash } from './passwords.ts';
import { type Grant, Permissions } from './permissions.ts';

const ROOT = 'root';

interface User {
  /** Absent: known by a certificate only. */
  password: PasswordHash | undefined;
  readonly roles: Set<string>;
  /** Made of the roles when first asked for. */
  permissions: Permissions | undefined;
}

export class AuthStore {
  readonly #database: Database;
  readonly #tables: Tables;
  readonly #users = new Map<string, User>();
  /** Grants by key and range end. */
  readonly #roles = new Map<string, Map<string, Grant>>();
  #enabled = false;
  #revision = 1n;

  constructor(database: Database, tables: Tables) {
    this.#database = database;
    this.#tables = tables;
    this.reload();
  }

  get enabled(): boolean {
    return this.#enabled;
  }

  /** Grows with every change; a hint for caches. */
  get revision(): bigint {
    return this.#revision;
  }

  reload(): void {
    this.#users.clear();
    this.#roles.clear();
    const all = (sql: string) => this.#database.prepare(sql).all();
    for (const { name, salt, hash } of all('SELECT name, salt, hash FROM users')) {
      const password = salt === null ? undefined : { salt: salt as Uint8Array, hash: hash as Uint8Array };
      this.#users.set(name as string, { password, roles: new Set(), permissions: undefined });
    }
    for (const { user, role } of all('SELECT user, role FROM user_roles')) {
      this.#users.get(user as string)?.roles.add(role as string);
    }
    for (const { name } of all('SELECT name FROM roles')) this.#roles.set(name as string, new Map());
    for (const { role, key, range_end, type } of all('SELECT role, key, range_end, type FROM permissions')) {
      const grant = {
        key: key as Uint8Array,
        rangeEnd: range_end as Uint8Array,
        permType: Number(type) as Grant['permType'],
      };
      this.#roles.get(role as string)?.set(grantId(grant), grant);
    }
    this.#enabled = this.#tables.getMeta('auth_enabled') === 1n;
    this.#revision = this.#tables.getMeta('auth_revision') ?? 1n;
  }

  setEnabled(enabled: boolean): void {
    if (enabled) {
      const root = this.#users.get(ROOT);
      if (root === undefined) throw refusal('rootUserNotExist');
      if (!root.roles.has(ROOT)) throw refusal('rootRoleNotExist');
    }
    this.#enabled = enabled;
    this.#tables.setMeta('auth_enabled', enabled ? 1n : 0n);
    this.#changed();
  }

  /** @param password absent for a user without one. */
  addUser(name: string, password: PasswordHash | undefined): void {
    if (name === '') throw refusal('userEmpty');
    if (this.#users.has(name)) throw refusal('userExists');
    this.#users.set(name, { password, roles: new Set(), permissions: undefined });
    this.#run(`INSERT ${into('users')}`, name, password?.salt, password?.hash);
  }

  deleteUser(name: string): void {
    if (this.#enabled && name === ROOT) throw refusal('invalidAuthManagement');
    this.#user(name);
    this.#users.delete(name);
    this.#run('DELETE FROM users WHERE name = ?', name);
  }

  changePassword(name: string, password: PasswordHash): void {
    this.#user(name).password = password;
    this.#run(
      'UPDATE users SET salt = ?2, hash = ?3, checksum = checksum_of(?1, ?2, ?3) WHERE name = ?1',
      name,
      password.salt,
      password.hash,
    );
  }

  passwordOf(name: string): PasswordHash | undefined {
    return this.#users.get(name)?.password;
  }

  users(): string[] {
    return [...this.#users.keys()].sort();
  }

  rolesOf(name: string): string[] {
    return [...this.#user(name).roles].sort();
  }

  /** The role `root` can be given without having been made. */
  grantRole(name: string, role: string): void {
    const user = this.#user(name);
    if (role !== ROOT && !this.#roles.has(role)) throw refusal('roleNotFound');
    if (user.roles.has(role)) return;
    user.roles.add(role);
    this.#run(`INSERT ${into('user_roles')}`, name, role);
  }

  revokeRole(name: string, role: string): void {
    if (this.#enabled && name === ROOT && role === ROOT) throw refusal('invalidAuthManagement');
    if (!this.#user(name).roles.delete(role)) throw refusal('roleNotGranted');
    this.#run('DELETE FROM user_roles WHERE user = ? AND role = ?', name, role);
  }

  addRole(name: string): void {
    if (name === '') throw refusal('roleEmpty');
    if (this.#roles.has(name)) throw refusal('roleExists');
    this.#roles.set(name, new Map());
    this.#run(`INSERT ${into('roles')}`, name);
  }

  deleteRole(name: string): void {
    if (this.#enabled && name === ROOT) throw refusal('invalidAuthManagement');
    this.#role(name);
    this.#roles.delete(name);
    for (const user of this.#users.values()) user.roles.delete(name);
    this.#run('DELETE FROM user_roles WHERE role = ?', name);
    this.#run('DELETE FROM roles WHERE name = ?', name);
  }

  roles(): string[] {
    return [...this.#roles.keys()].sort();
  }

  /** In the order of their keys. */
  grantsOf(role: string): Grant[] {
    return [...this.#role(role).values()].sort((a, b) => compareKeys(a.key, b.key));
  }

  /** A permission on the same range is replaced. */
  grantPermission(role: string, { key, rangeEnd, permType }: Grant): void {
    const grant = { key: key.slice(), rangeEnd: rangeEnd.slice(), permType };
    this.#role(role).set(grantId(grant), grant);
    this.#run(`INSERT OR REPLACE ${into('permissions')}`, role, grant.key, grant.rangeEnd, BigInt(permType));
  }

  revokePermission(role: string, key: Uint8Array, rangeEnd: Uint8Array): void {
    if (!this.#role(role).delete(grantId({ key, rangeEnd }))) throw refusal('permissionNotGranted');
    this.#run('DELETE FROM permissions WHERE role = ? AND key = ? AND range_end = ?', role, key, rangeEnd);
  }

  isRoot(name: string): boolean {
    return this.#users.get(name)?.roles.has(ROOT) === true;
  }

  hasRole(name: string, role: string): boolean {
    return this.#users.get(name)?.roles.has(role) === true;
  }

  /** What the user's roles allow together; undefined for a user that does not exist. */
  permissionsOf(name: string): Permissions | undefined {
    const user = this.#users.get(name);
    if (user === undefined) return undefined;
    user.permissions ??= new Permissions(
      [...user.roles].flatMap(role => [...(this.#roles.get(role)?.values() ?? [])]),
    );
    return user.permissions;
  }

  #user(name: string): User {
    const user = this.#users.get(name);
    if (user === undefined) throw refusal('userNotFound');
    return user;
  }

  #role(name: string): Map<string, Grant> {
    const role = this.#roles.get(name);
    if (role === undefined) throw refusal('roleNotFound');
    return role;
  }

  #run(sql: string, ...values: (string | bigint | Uint8Array | undefined)[]): void {
    this.#database.prepare(sql).run(...values.map(value => value ?? null));
    this.#changed();
  }

  #changed(): void {
    this.#revision++;
    this.#tables.setMeta('auth_revision', this.#revision);
    for (const user of this.#users.values()) user.permissions = undefined;
  }
}

function grantId({ key, rangeEnd }: Pick<Grant, 'key' | 'rangeEnd'>): string {
  return `${key.byteLength} ${keyText(key)} ${keyText(rangeEnd)}`;
}
