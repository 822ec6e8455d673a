// SPDX-License-Identifier: Apache-2.0
// The plan's names of kernels and row operations are those of the C module.

import CKernels
import IR
import Testing

@Suite struct KernelNamesTests {
  @Test(arguments: Kernel.allCases) func theKernelIsKnown(kernel: Kernel) {
    #expect(kernel_named(kernel.rawValue) >= 0)
  }

  @Test(arguments: RowProgram.Operation.allCases)
  func theRowOperationIsKnown(operation: RowProgram.Operation) {
    let code = kernel_row_operation(operation.rawValue)
    #expect(code >= 0)
    if code >= 0 { #expect(Int(kernel_row_operands(code)) == operation.operands) }
  }

  @Test func nothingElseIsKnown() {
    #expect(Kernel.allCases.count == Int(KERNEL_COUNT.rawValue))
    #expect(RowProgram.Operation.allCases.count == Int(ROW_OPERATION_COUNT.rawValue))
    #expect(kernel_named("no such kernel") == -1)
    #expect(kernel_row_operation("no such operation") == -1)
  }
}
