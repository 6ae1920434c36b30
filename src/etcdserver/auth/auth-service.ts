/** The Auth service. */
import type { Auth } from '../../store/wire/generated/auth_pb.ts';
import type { Core } from '../core.ts';
import { refusal } from '../errors.ts';
import type { Caller, Methods } from '../rpc.ts';

export function authService(core: Core): Methods<typeof Auth> {
  const { auth, access, tokens, passwords } = core;
  /** A change by an administrator; the answer is a header. */
  const change = (caller: Caller, edit: () => void) =>
    core.update(() => {
      access.admin(caller);
      edit();
      return { header: core.header() };
    });

  return {
    authEnable: (_request, caller) =>
      change(caller, () => {
        if (!auth.enabled) auth.setEnabled(true);
      }),

    authDisable: (_request, caller) =>
      change(caller, () => {
        if (!auth.enabled) return;
        auth.setEnabled(false);
        tokens.revoke();
      }),

    async authenticate({ name, password }) {
      if (!auth.enabled) throw refusal('authNotEnabled');
      if (!(await passwords.match(password, auth.passwordOf(name)))) throw refusal('authFailed');
      return { header: core.header(core.hub.revision), token: tokens.issue(name) };
    },

    async userAdd({ name, password, options }, caller) {
      access.admin(caller);
      const hash = options?.noPassword === true ? undefined : await passwords.hash(password);
      return change(caller, () => auth.addUser(name, hash));
    },

    userGet: ({ name }, caller) =>
      core.read(() => {
        if (access.userOf(caller) !== name) access.admin(caller);
        return { header: core.header(), roles: auth.rolesOf(name) };
      }),

    userList: (_request, caller) =>
      core.read(() => {
        access.admin(caller);
        return { header: core.header(), users: auth.users() };
      }),

    userDelete: ({ name }, caller) =>
      change(caller, () => {
        auth.deleteUser(name);
        tokens.revoke(name);
      }),

    async userChangePassword({ name, password }, caller) {
      access.admin(caller);
      const hash = await passwords.hash(password);
      return change(caller, () => {
        auth.changePassword(name, hash);
        tokens.revoke(name);
      });
    },

    userGrantRole: ({ user, role }, caller) => change(caller, () => auth.grantRole(user, role)),

    userRevokeRole: ({ name, role }, caller) => change(caller, () => auth.revokeRole(name, role)),

    roleAdd: ({ name }, caller) => change(caller, () => auth.addRole(name)),

    roleGet: ({ role }, caller) =>
      core.read(() => {
        const user = access.userOf(caller);
        if (user !== undefined && !auth.hasRole(user, role)) access.admin(caller);
        return { header: core.header(), perm: auth.grantsOf(role) };
      }),

    roleList: (_request, caller) =>
      core.read(() => {
        access.admin(caller);
        return { header: core.header(), roles: auth.roles() };
      }),

    roleDelete: ({ role }, caller) => change(caller, () => auth.deleteRole(role)),

    roleGrantPermission: ({ name, perm }, caller) =>
      change(caller, () => {
        if (perm !== undefined) auth.grantPermission(name, perm);
      }),

    roleRevokePermission: ({ role, key, rangeEnd }, caller) =>
      change(caller, () => auth.revokePermission(role, key, rangeEnd)),
  };
}
