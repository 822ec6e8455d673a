// SPDX-License-Identifier: Apache-2.0
// The compiler's names of kernels and row operations are those of the C module.

import CKernels
import IR
import TestSupport
import Testing

@Suite struct KernelNamesTests {
  /// What the samples of all ops are lowered to.
  private static func kernels() throws -> Set<String> {
    var names = Set<String>()
    for sample in OpSample.all where sample.isExecutable {
      for readingParameters in sample.isUpdate ? [false] : [false, true] {
        let function = try CompiledFunction(
          sample.function(readingParameters: readingParameters).0
        ).executable.function
        names.formUnion((function.setup + function.prepare + function.body).map(\.kernel.name))
      }
    }
    return names
  }

  @Test func everyKernelIsKnownAndReached() throws {
    let names = try Self.kernels()
    for name in names { #expect(kernel_named(name) >= 0, "\(name)") }
    #expect(names.count == Int(KERNEL_COUNT.rawValue), "\(names.sorted())")
    #expect(kernel_named("no such kernel") == -1)
  }

  @Test func everyRowOperationIsKnown() {
    for operation in RowProgram.Operation.all {
      let code = kernel_row_operation(operation.name)
      #expect(code >= 0, "\(operation.name)")
      if code >= 0 { #expect(Int(kernel_row_operands(code)) == operation.operands) }
    }
    #expect(RowProgram.Operation.all.count == Int(ROW_OPERATION_COUNT.rawValue))
    #expect(kernel_row_operation("no such operation") == -1)
  }
}
