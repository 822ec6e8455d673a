// SPDX-License-Identifier: Apache-2.0
// Signals that ask a run to save and stop.

import Glibc

/// Ctrl-C, SIGTERM, a closed terminal and a closed pipe: the first signal asks to save and stop, the
/// second stops at once.
enum Interruption {
  nonisolated(unsafe) private(set) static var signal: Int32 = 0

  static func install() {
    var blocked = sigset_t()
    sigemptyset(&blocked)
    for number in [SIGINT, SIGTERM, SIGHUP, SIGPIPE] {
      var current = sigaction()
      // Whoever started the run with nohup wants it to survive its terminal.
      if sigaction(number, nil, &current) == 0, number == SIGHUP,
        unsafeBitCast(current.__sigaction_handler.sa_handler, to: Int.self) == 1
      {
        continue
      }
      sigaddset(&blocked, number)
      Glibc.signal(number) { received in
        if Interruption.signal == 0 {
          Interruption.signal = received
        } else if received != SIGPIPE {
          // Every line that is written on the way out raises SIGPIPE again.
          _exit(128 + received)
        }
      }
    }
    // Whoever started the run may have blocked them for itself.
    sigprocmask(SIG_UNBLOCK, &blocked, nil)
  }
}

/// A signal stopped the work behind training.
struct EvaluationInterrupted: Error {}
