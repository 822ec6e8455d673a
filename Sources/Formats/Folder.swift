// SPDX-License-Identifier: Apache-2.0
// The few things formats do with folders: create, list, force to disk, remove.

import Foundation
import Glibc

/// Folders of the file system.
public enum Folder {
  /// Everything before the last slash, or the current folder.
  public static func parent(of path: String) -> String {
    let trimmed = trimmingSlashes(path)
    guard let slash = trimmed.lastIndex(of: "/") else { return "." }
    return slash == trimmed.startIndex ? "/" : String(trimmed[..<slash])
  }

  /// Everything after the last slash.
  static func name(of path: String) -> String {
    let trimmed = trimmingSlashes(path)
    return trimmed.lastIndex(of: "/").map { String(trimmed[trimmed.index(after: $0)...]) }
      ?? trimmed
  }

  static func trimmingSlashes(_ path: String) -> String {
    var path = path
    while path.count > 1 && path.hasSuffix("/") { path.removeLast() }
    return path
  }

  /// Whether there is something of that name.
  public static func exists(_ path: String) -> Bool { access(path, F_OK) == 0 }

  /// Whether the path leads to a folder.
  public static func isFolder(_ path: String) -> Bool {
    var status = stat()
    return stat(path, &status) == 0 && status.st_mode & S_IFMT == S_IFDIR
  }

  /// Creates the folder and those above it; an existing one is fine.
  public static func create(_ path: String) throws(FormatError) {
    if isFolder(path) { return }
    let parent = parent(of: path)
    if parent != path && !isFolder(parent) { try create(parent) }
    guard mkdir(path, 0o755) == 0 || errno == EEXIST else {
      throw .system("create folder", file: path)
    }
  }

  /// Which folder a path leads to, whatever it is called; nil if it leads to none. A folder that was
  /// removed and made again is another one.
  public static func identity(of path: String) -> (device: UInt64, node: UInt64)? {
    var status = stat()
    guard stat(path, &status) == 0, status.st_mode & S_IFMT == S_IFDIR else { return nil }
    return (UInt64(status.st_dev), UInt64(status.st_ino))
  }

  /// Names in the folder, sorted by their bytes.
  public static func names(in path: String) throws(FormatError) -> [String] {
    guard let stream = opendir(path) else { throw .system("open folder", file: path) }
    defer { closedir(stream) }
    var names: [String] = []
    while let entry = readdir(stream) {
      let name = withUnsafePointer(to: &entry.pointee.d_name) {
        $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
      }
      if name != "." && name != ".." { names.append(name) }
    }
    return names.sortedByBytes()
  }

  /// Forces the folder's entries to disk.
  static func sync(_ path: String) throws(FormatError) {
    let descriptor = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
    guard descriptor >= 0 else { throw .system("open folder", file: path) }
    defer { close(descriptor) }
    // Some network file systems cannot sync a folder; the rename itself has happened.
    guard fsync(descriptor) == 0 || errno == EINVAL || errno == ENOTSUP else {
      throw .system("write folder to disk", file: path)
    }
  }

  static func rename(_ from: String, to path: String) throws(FormatError) {
    guard Glibc.rename(from, path) == 0 else {
      throw .system("rename to its final name", file: path)
    }
    try sync(parent(of: path))
  }

  /// Removes a folder and all it holds; a missing one is fine.
  public static func remove(_ path: String) throws(FormatError) {
    guard exists(path) else { return }
    do {
      try FileManager.default.removeItem(atPath: path)
    } catch {
      throw FormatError(.io, file: path, "cannot remove: \(error.localizedDescription)")
    }
  }
}

extension Sequence<String> {
  /// Sorted by UTF-8 bytes, which no locale changes.
  func sortedByBytes() -> [String] {
    sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) }
  }
}
