// swift-tools-version: 6.2
import PackageDescription

#if canImport(Glibc)
  import Glibc
#endif

// libxsmm is a static library that Debian has on amd64 only; without it graphc's own bodies multiply.
let hasLibxsmm = ["/usr/lib", "/usr/lib/x86_64-linux-gnu", "/usr/local/lib"].contains {
  access($0 + "/libxsmm.a", R_OK) == 0
}

// -O3 also in debug builds: an unoptimised kernel is of no use to anybody. Multiplications and
// additions fuse, but where a body says that its bits are the same on every instruction set.
func kernelBodies(_ isa: String, _ flags: [String]) -> Target {
  .target(
    name: "Kernels\(isa)", path: "Sources/Runtime/Kernels\(isa)",
    cSettings: [
      .unsafeFlags(["-O3", "-fno-math-errno", "-ffp-contract=fast-honor-pragmas"] + flags)
    ])
}

// One target per instruction set: SwiftPM has no flags per file, and a target attribute does not
// reach the functions that OpenMP outlines.
#if arch(x86_64)
  let kernelTargets = [
    kernelBodies("Portable", []),
    kernelBodies("AVX2", ["-march=x86-64-v3"]),
    kernelBodies("AVX512", ["-march=x86-64-v4", "-mprefer-vector-width=512"]),
    kernelBodies(
      "AVX512BF16", ["-march=x86-64-v4", "-mavx512bf16", "-mprefer-vector-width=512"]),
  ]
#else
  let kernelTargets = [kernelBodies("Portable", [])]
#endif

let package = Package(
  name: "graphc",
  products: [.executable(name: "graphc", targets: ["graphc"])],
  dependencies: [
    .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2")
  ],
  targets: [
    // The compiler: data, the texts it is written in, rewrites of it.
    .target(name: "IR"),
    .target(name: "Language", dependencies: ["IR"]),
    .target(name: "Passes", dependencies: ["IR"]),
    // Everything that reads bytes from outside.
    .systemLibrary(name: "CZstd", providers: [.apt(["libzstd-dev"])]),
    .systemLibrary(name: "CLzma", providers: [.apt(["liblzma-dev"])]),
    .systemLibrary(name: "CCrypto", providers: [.apt(["libssl-dev"])]),
    .target(
      name: "CSentencePiece",
      linkerSettings: [.linkedLibrary("sentencepiece"), .linkedLibrary("sentencepiece_train")]),
    .target(name: "CRangeCoder", cSettings: [.unsafeFlags(["-O3"])]),
    .target(
      name: "Formats",
      dependencies: ["CRangeCoder", "CSentencePiece", "CZstd", "CLzma", "CCrypto"]),
  ] + kernelTargets + [
    .target(
      name: "CKernels", dependencies: kernelTargets.map { .target(name: $0.name) },
      path: "Sources/Runtime/Kernels", exclude: ["bodies"],
      cSettings: [.unsafeFlags(["-O3", "-fopenmp"])]
        + (hasLibxsmm ? [] : [.define("GRAPHC_NO_LIBXSMM")]),
      linkerSettings: [.linkedLibrary("omp5"), .linkedLibrary("openblas"), .linkedLibrary("m")]
        + (hasLibxsmm ? [.linkedLibrary("xsmm"), .linkedLibrary("dl")] : [])),
    .target(
      name: "Runtime", dependencies: ["IR", "Language", "Formats", "CKernels"],
      path: "Sources/Runtime/Executor"),
    .executableTarget(
      name: "graphc",
      dependencies: [
        "IR", "Language", "Passes", "Formats", "Runtime",
        .product(name: "ArgumentParser", package: "swift-argument-parser"),
      ],
      // The command line runs for milliseconds; optimising it takes a tenth of a first build.
      swiftSettings: [.unsafeFlags(["-Onone"])]),
    .testTarget(name: "CLITests", dependencies: ["graphc", "Formats", "TestSupport"]),
    .testTarget(name: "FormatsTests", dependencies: ["Formats", "TestSupport"]),
    .target(
      name: "TestSupport", dependencies: ["IR", "Language", "Passes", "Formats", "Runtime"],
      path: "Tests/Support", exclude: ["reference.py"]),
    .testTarget(name: "GoldenTests", dependencies: ["IR", "Language", "Passes", "TestSupport"]),
    .testTarget(name: "KernelTests", dependencies: ["CKernels"]),
    .testTarget(name: "LanguageTests", dependencies: ["IR", "Language", "Passes", "TestSupport"]),
    .testTarget(name: "OpTests", dependencies: ["IR", "Language", "Runtime", "TestSupport"]),
    .testTarget(
      name: "RuntimeTests",
      dependencies: ["IR", "Language", "Passes", "Formats", "Runtime", "CKernels", "TestSupport"]),
    .testTarget(name: "TidyTests", dependencies: ["IR", "Language", "Passes", "TestSupport"]),
  ],
  cxxLanguageStandard: .cxx17
)

// What scripts/check asks for: a warning of ours is an error. Other toolchains may warn of more.
if getenv("GRAPHC_STRICT") != nil {
  for target in package.targets where target.type != .system {
    target.swiftSettings = (target.swiftSettings ?? []) + [.treatAllWarnings(as: .error)]
    target.cSettings = (target.cSettings ?? []) + [.treatAllWarnings(as: .error)]
  }
}
