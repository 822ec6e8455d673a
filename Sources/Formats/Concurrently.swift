// SPDX-License-Identifier: Apache-2.0
// Independent work on items of a list, as much at once as there are processors.

import Dispatch
import Synchronization

/// What `body` makes of each item, in their order; the error of the first item that has one.
func concurrently<Item: Sendable, Value: Sendable>(
  _ items: [Item], _ body: @Sendable (Item) throws(FormatError) -> Value
) throws(FormatError) -> [Value] {
  let results = Mutex<[Int: Result<Value, FormatError>]>([:])
  DispatchQueue.concurrentPerform(iterations: items.count) { index in
    let result = Result { () throws(FormatError) in try body(items[index]) }
    results.withLock { $0[index] = result }
  }
  var values: [Value] = []
  for index in items.indices { values.append(try results.withLock { $0[index]! }.get()) }
  return values
}
