/** Generic netlink of the fake kernel: a controller that knows itself. */
import { written } from '../../base/bytes.ts';
import { attributes, one } from '../../netlink/attribute.ts';
import { text, u32 } from '../../netlink/attribute-types.ts';
import { controllerMessage, GENL_ID_CTRL } from '../../netlink/generic/controller.ts';
import type { Message } from '../../netlink/message.ts';
import { FakeRefusal } from './fake-refusal.ts';

const CTRL_CMD_NEWFAMILY = 1;
const NLA_F_NESTED = 0x8000;

const group = attributes({ name: one(1, text), id: one(2, u32) });

const NLCTRL = {
  id: GENL_ID_CTRL,
  name: 'nlctrl',
  version: 2,
  groups: { unknown: [{ type: NLA_F_NESTED | 1, payload: group.toBytes({ name: 'notify', id: 16 }) }] },
};

/** The family that a request asks for by name. @throws FakeRefusal, CodecError */
export function answerGeneric({ type, sequence, port, payload }: Message): Message[] {
  const { name } = controllerMessage.decode(payload).attributes;
  if (type !== GENL_ID_CTRL || name !== NLCTRL.name) throw new FakeRefusal('ENOENT');
  const header = { command: CTRL_CMD_NEWFAMILY, version: 2 };
  const answer = written(writer => controllerMessage.write(writer, header, NLCTRL));
  return [{ type: GENL_ID_CTRL, flags: 0, sequence, port, payload: answer }];
}
